"""Where networks are trained: the CPU, or a GPU when there is one; noise is always made on the CPU."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from synthpriv.errors import ConfigurationError
from synthpriv.privacy import processes


def resolve(name: str) -> torch.device:
    """The device that 'auto', 'cpu' or 'cuda' means for this process; one GPU for each process of a machine.

    Raises ConfigurationError if a GPU was asked for, and there is none for this process.
    """
    found = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and found == 0):
        return torch.device("cpu")
    place = int(os.environ.get("LOCAL_RANK", "0")) if processes.team().size > 1 else 0
    if place >= found:
        raise ConfigurationError(
            f"device={name!r} needs a GPU for each process of this machine, found {found} and process "
            f"{place + 1}; start fewer processes, or pass device='cpu'."
        )
    return torch.device("cuda", place)


def moved(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """The array on `device`; to a GPU from pinned memory, so that nobody waits for the copy."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """`generator` on the CPU; for a GPU one of its own, seeded by the next draw. Never for noise."""
    if device.type == "cpu":
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))


def refuse_mixed_precision() -> None:
    """Raise ConfigurationError under autocast: the clipping is proven in single precision only."""
    if any(map(torch.is_autocast_enabled, ("cpu", "cuda"))):
        raise ConfigurationError(
            "private training needs single precision, found autocast switched on; leave torch.autocast out."
        )
