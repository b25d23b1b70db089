"""Loading fitted synthesizers, which `saving` wrote; a loaded file is data from a stranger.

No pickle. Everything is checked before it is used: file sizes, names, shapes against the configuration, and
that numbers are finite. Loading raises BundleError with one sentence, whatever the file holds.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from synthpriv.encoding.table_encoder import TableEncoder
from synthpriv.errors import BundleError, SynthprivError
from synthpriv.synthesizers import configuration
from synthpriv.synthesizers.base import Claim, FittedSynthesizer, SampleModel, Synthesizer
from synthpriv.synthesizers.ctgan import CTGANSynthesizer
from synthpriv.synthesizers.independent import IndependentSynthesizer
from synthpriv.synthesizers.saving import DESCRIPTION, FORMAT, WEIGHTS
from synthpriv.synthesizers.vae import VAESynthesizer

LARGEST_DESCRIPTION = 256 * 2**20
LARGEST_WEIGHTS = 4 * 2**30
SYNTHESIZERS: dict[str, type[Synthesizer]] = {
    kind.name: kind for kind in (VAESynthesizer, CTGANSynthesizer, IndependentSynthesizer)
}


def load(path: str | Path) -> FittedSynthesizer:
    """Read a folder that `FittedSynthesizer.save` wrote; raises BundleError for whatever does not fit."""
    folder = Path(path)
    if not folder.is_dir():
        raise BundleError(f"a saved synthesizer is a folder, found none at {str(folder)!r}.")
    try:
        description = _read_description(folder / DESCRIPTION)
        config = _read_config(description)
        encoder = TableEncoder.from_dict(description["encoder"])
        claim = _read_claim(description["claim"])
        with torch.device("meta"):
            model = config.empty_model(encoder)
        _fill(model, folder / WEIGHTS)
        return FittedSynthesizer(config=config, encoder=encoder, model=model, claim=claim)
    except BundleError:
        raise
    except SynthprivError as error:
        raise BundleError(f"the saved synthesizer {str(folder)!r} is damaged: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise BundleError(
            f"the saved synthesizer {str(folder)!r} must have the fields that 'save' writes, found "
            f"{type(error).__name__}: {error}; fetch it again."
        ) from None


def _read_description(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.is_symlink():
        raise BundleError(f"a saved synthesizer must hold {path.name}, found none in {str(path.parent)!r}.")
    if path.stat().st_size > LARGEST_DESCRIPTION:
        raise BundleError(f"{path.name} must be at most {LARGEST_DESCRIPTION >> 20} MiB, found more.")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{path.name} must be JSON, found damage: {error}; fetch it again.") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise BundleError(f"{path.name} must be of format {FORMAT}, found another; update synthpriv.")
    return description


def _read_config(description: dict[str, Any]) -> Synthesizer:
    kind, arguments = description["kind"], dict(description["config"])
    if kind not in SYNTHESIZERS:
        raise BundleError(f"a saved synthesizer is one of {', '.join(SYNTHESIZERS)}, found {kind!r}.")
    if arguments.get("epsilon") == "inf":
        arguments["epsilon"] = math.inf
    return SYNTHESIZERS[kind](**arguments)


def _read_claim(data: dict[str, Any]) -> Claim:
    values: dict[str, Any] = {key: math.inf if value == "inf" else value for key, value in data.items()}
    claim = Claim(**values)
    for name in ("epsilon", "delta", "epsilon_replace_one"):
        configuration.require(f"claim.{name}", getattr(claim, name), 0.0)
    configuration.require("claim.rows", claim.rows, 0, 10**12, whole=True)
    if not isinstance(claim.private, bool) or not isinstance(claim.ledger_digest, str):
        raise BundleError("the claim must say whether it is private, found no such flag; fetch it again.")
    return claim


def _fill(model: SampleModel, path: Path) -> None:
    """Put the file's tensors into an empty model, once every name and shape is as the model wants it."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.tensors().items()}
    if not path.is_file() or path.is_symlink():
        raise BundleError(f"a saved synthesizer must hold {path.name}, found none in {str(path.parent)!r}.")
    if path.stat().st_size > LARGEST_WEIGHTS:
        raise BundleError(f"{path.name} must be at most {LARGEST_WEIGHTS >> 30} GiB, found more.")
    try:
        with safe_open(path, framework="pt") as stored:
            names = set(stored.keys())
            if names != set(expected):
                odd = sorted(names ^ set(expected))[0]
                raise BundleError(
                    f"{path.name} must hold the model's tensors only, found a mismatch at {odd!r}."
                )
            for name, shape in expected.items():
                found = tuple(stored.get_slice(name).get_shape())
                if found != shape:
                    raise BundleError(
                        f"tensor {name!r} must have shape {shape}, found {found}; fetch it again."
                    )
            tensors = {name: stored.get_tensor(name) for name in expected}
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path.name} must be a safetensors file, found damage: {error}.") from None
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
            raise BundleError(f"tensor {name!r} must hold finite single-precision numbers, found others.")
    model.fill(tensors)
