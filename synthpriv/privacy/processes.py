"""The processes that fit one table together, as torchrun starts them; a process alone is a team of one.

Each process holds the rows of its own share of the units. The lead (rank 0) holds all of them and the ledger;
it alone charges, adds noise and writes. What passes between processes, exact counts and clipped sums before
their noise, is internal: the network between them lies behind the door. Values travel as JSON, arrays as raw
numbers; nothing is pickled.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from synthpriv import errors
from synthpriv.errors import ConfigurationError, SynthprivError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

Value = TypeVar("Value")
Array = TypeVar("Array", bound="npt.NDArray[Any] | Tensor")


@dataclass(frozen=True, kw_only=True)
class Team:
    """This process's place among those that fit together. Every method is called by all of them, in step."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the lead."""
        return self.rank == 0

    def by_lead(self, work: Callable[[], Value]) -> Value:
        """What `work` gives (JSON values) in the lead, which alone runs it; its error is raised in all."""
        if self.size == 1:
            return work()
        try:
            value = work() if self.leads else None
        except Exception as error:
            self._outcomes(None, error)
            raise
        lead: Value = self._outcomes(value)[0]
        return lead

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that each process runs for itself: an error in one is raised in all, and none waits.

        Inside it nothing is asked of the team.
        """
        try:
            yield
        except Exception as error:
            self._outcomes(None, error)
            raise
        self._outcomes(None)

    def gather(self, value: Value) -> list[Value]:
        """Every process's value (plain JSON values), by rank."""
        return self._outcomes(value)

    def require_same(self, **facts: Any) -> None:
        """Raise ConfigurationError, in all, where a process was given another value of a public fact."""
        for name, fact in facts.items() if self.size > 1 else ():
            texts = self.gather(json.dumps(fact, sort_keys=True, default=str))
            if len(set(texts)) > 1:
                raise ConfigurationError(
                    f"every process must be given the same {name}, found a difference; run the same script "
                    "with the same arguments in each."
                )

    def sum(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The sum over processes of arrays of one shape."""
        if self.size == 1:
            return counts
        import torch

        total = torch.from_numpy(counts.copy())
        torch.distributed.all_reduce(total)
        summed: npt.NDArray[np.int64] = total.numpy()
        return summed

    def from_lead(self, array: Array) -> Array:
        """The lead's numbers, in an array or tensor that has one shape and type in all; filled in place."""
        if self.size > 1:
            import torch

            tensor = array if isinstance(array, torch.Tensor) else torch.from_numpy(array)
            torch.distributed.broadcast(tensor, 0)
        return array

    def _outcomes(self, value: Any, error: Exception | None = None) -> list[Any]:
        """Every process's value, once none has failed; raises the first failure of another process."""
        if self.size == 1:
            return [value]
        failure = None if error is None else [type(error).__name__, str(error)]
        told = self._exchange([value, failure])
        for rank, (_, failed) in enumerate(told):
            if failed is not None and error is None:
                raise _error_of(rank, *failed)
        return [value for value, _ in told]

    def _exchange(self, value: Any) -> list[Any]:
        """Every process's JSON value, by rank: first the lengths, then the texts, padded to the longest."""
        import torch
        from torch.distributed import all_gather

        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        all_gather(lengths, torch.tensor([len(text)]))
        padded = torch.zeros(int(max(lengths)), dtype=torch.uint8)
        padded[: len(text)] = text
        texts = [torch.empty_like(padded) for _ in range(self.size)]
        all_gather(texts, padded)
        pairs = zip(texts, lengths, strict=True)
        return [json.loads(part.numpy().tobytes()[: int(length)]) for part, length in pairs]


def team() -> Team:
    """The processes that were started together with this one; joins them at the first call.

    They are those of an initialised torch.distributed group, or of torchrun's environment variables.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return Team()
        _join()
    from torch.distributed import get_rank, get_world_size

    return Team(rank=get_rank(), size=get_world_size())


def leads() -> bool:
    """Whether this process is the lead, which alone says and writes; asks without joining the others."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_initialized():
        return team().leads
    return int(os.environ.get("WORLD_SIZE", "1")) < 2 or int(os.environ.get("RANK", "0")) == 0


def _join() -> None:
    import torch
    from torch.distributed import destroy_process_group, init_process_group

    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ConfigurationError(
            f"several processes must be started by torchrun, found WORLD_SIZE without {', '.join(missing)}; "
            "start them with torchrun, or unset WORLD_SIZE."
        )
    # who waits may wait for long, while the lead reads; a process that dies is noticed at once all the same
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    init_process_group(backend, timeout=timedelta(days=1))
    atexit.register(destroy_process_group)


def _error_of(rank: int, name: str, message: str) -> Exception:
    """The error that another process raised: of its own kind where it is one of synthpriv's."""
    kind = vars(errors).get(name)
    if isinstance(kind, type) and issubclass(kind, SynthprivError):
        return kind(message)
    return RuntimeError(f"process {rank} failed with {name}: {message}")
