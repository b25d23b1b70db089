"""The folder of a saved synthesizer and how it is written: JSON and safetensors; `storage` reads it back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from synthpriv.errors import BundleError

FORMAT = 1
DESCRIPTION = "synthesizer.json"
WEIGHTS = "weights.safetensors"


def write(path: str | Path, description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write description and tensors into the folder `path`, which must not hold anything else.

    An infinite number in a table of the description is written as text. Post-processing.
    """
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"a synthesizer is saved into a new or empty folder, found {str(folder)!r} in use.")
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, **description}, indent=1)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values for JSON: infinity becomes text.

    >>> plain({"epsilon": math.inf, "rows": 7})
    {'epsilon': 'inf', 'rows': 7}
    """
    return {key: "inf" if value == math.inf else value for key, value in values.items()}
