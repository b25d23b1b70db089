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
from synthpriv.synthesizers.autoregressive import AutoregressiveSynthesizer
from synthpriv.synthesizers.base import Synthesizer
from synthpriv.synthesizers.ctgan import CTGANSynthesizer
from synthpriv.synthesizers.fitted import Claim, FittedSynthesizer
from synthpriv.synthesizers.independent import IndependentSynthesizer
from synthpriv.synthesizers.mixture import MixtureSynthesizer
from synthpriv.synthesizers.models import SampleModel
from synthpriv.synthesizers.saving import DESCRIPTION, FORMAT, WEIGHTS
from synthpriv.synthesizers.vae import VAESynthesizer

LARGEST_DESCRIPTION = 64 * 2**20
LARGEST_WEIGHTS = 2**30
FIELDS = {"format", "kind", "config", "claim", "encoder"}
SYNTHESIZERS: dict[str, type[Synthesizer]] = {
    kind.name: kind
    for kind in (
        MixtureSynthesizer,
        VAESynthesizer,
        CTGANSynthesizer,
        AutoregressiveSynthesizer,
        IndependentSynthesizer,
    )
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
        claim = _read_claim(description["claim"], config)
        with torch.device("meta"):
            model = config.empty_model(encoder)
        _fill(model, folder / WEIGHTS)
        return FittedSynthesizer(config=config, encoder=encoder, model=model, claim=claim)
    except BundleError:
        raise
    except SynthprivError as error:
        raise BundleError(f"the saved synthesizer {str(folder)!r} is damaged: {_brief(error)}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, OSError) as error:
        raise BundleError(
            f"the saved synthesizer {str(folder)!r} must have the fields that 'save' writes, found "
            f"{type(error).__name__}: {_brief(error)}; fetch it again."
        ) from None


def _brief(text: object) -> str:
    """The text of an error on one line of ASCII, cut short: it may quote what a stranger wrote.

    >>> _brief("two\\nlines")
    'two lines'
    """
    line = "".join(c if " " <= c <= "~" else "?" for c in " ".join(str(text).split()))
    return line if len(line) <= 300 else f"{line[:300]} ..."


def _read_description(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.is_symlink():
        raise BundleError(f"a saved synthesizer must hold {path.name}, found none in {str(path.parent)!r}.")
    if path.stat().st_size > LARGEST_DESCRIPTION:
        raise BundleError(f"{path.name} must be at most {LARGEST_DESCRIPTION >> 20} MiB, found more.")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(description, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except ValueError as error:  # no JSON, no UTF-8; NaN, infinity or half a character somewhere inside
        raise BundleError(
            f"{path.name} must be JSON, found damage: {_brief(error)}; fetch it again."
        ) from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise BundleError(f"{path.name} must be of format {FORMAT}, found another; update synthpriv.")
    if set(description) != FIELDS or set(description["encoder"]) != {"schema", "codecs"}:
        raise BundleError(f"{path.name} must hold what 'save' writes and no more, found other fields.")
    return description


def _read_config(description: dict[str, Any]) -> Synthesizer:
    kind, arguments = description["kind"], dict(description["config"])
    if kind not in SYNTHESIZERS:
        raise BundleError(f"a saved synthesizer is one of {', '.join(SYNTHESIZERS)}, found {_brief(kind)!r}.")
    if arguments.get("epsilon") == "inf":
        arguments["epsilon"] = math.inf
    return SYNTHESIZERS[kind](**arguments)


def _read_claim(data: dict[str, Any], config: Synthesizer) -> Claim:
    """The claim, if it is one that a fit under `config` can make."""
    values: dict[str, Any] = {key: math.inf if value == "inf" else value for key, value in data.items()}
    claim = Claim(**values)
    configuration.require("claim.epsilon_replace_one", claim.epsilon_replace_one, 0.0)
    configuration.require("claim.delta", claim.delta, 0.0, 0.5 if config.delta is None else config.delta)
    configuration.require("claim.rows", claim.rows, 0, 10**12, whole=True)
    configuration.require_flag("claim.private", claim.private)
    configuration.require_flag("claim.domain_from_data", claim.domain_from_data)
    if claim.epsilon != config.epsilon or (claim.private and math.isinf(claim.epsilon)):
        raise BundleError("the claim must be that of the configuration, found another; fetch it again.")
    if not isinstance(claim.ledger_digest, str):
        raise BundleError("the claim must name its ledger, found no digest; fetch it again.")
    return claim


def _fits(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether a stored shape is the expected one, where 0 stands for any length but none."""
    return len(found) == len(expected) and all(
        one == other or (other == 0 and one > 0) for one, other in zip(found, expected, strict=True)
    )


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
                    f"{path.name} must hold the model's tensors only, found a mismatch at {_brief(odd)!r}."
                )
            for name, shape in expected.items():
                declared = stored.get_slice(name)
                found = (declared.get_dtype(), tuple(declared.get_shape()))
                if found[0] != "F32" or not _fits(found[1], shape):
                    raise BundleError(
                        f"tensor {name!r} must be F32 of shape {shape}, found {_brief(found)}; fetch it."
                    )
            tensors = {name: stored.get_tensor(name) for name in expected}
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path.name} must be a safetensors file, found damage: {_brief(error)}.") from None
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BundleError(f"tensor {name!r} must hold finite numbers, found others; fetch it again.")
    model.fill(tensors)
