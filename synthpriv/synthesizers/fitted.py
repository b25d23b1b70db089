"""FittedSynthesizer: what is left of a fit. It samples, fills in and saves, and cannot reach private rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from synthpriv.encoding.table_encoder import TableEncoder
from synthpriv.errors import ConfigurationError
from synthpriv.privacy import processes
from synthpriv.progress import SAMPLING, Report, silent
from synthpriv.schema import Schema
from synthpriv.schema.identifiers import IdentifierMaker
from synthpriv.schema.values import Positions
from synthpriv.synthesizers import configuration, saving
from synthpriv.synthesizers.conditions import Conditions, partial_positions
from synthpriv.synthesizers.models import Reach, SampleModel

if TYPE_CHECKING:
    from synthpriv.synthesizers.base import Synthesizer

SAMPLING_CHUNK = 65_536
MOST_TRIES = 20_000_000
MOST_REDRAWS = 50


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a fitted synthesizer promises, for add/remove of one unit; `private` is False without noise."""

    epsilon: float
    delta: float
    epsilon_replace_one: float
    rows: int
    ledger_digest: str
    private: bool
    domain_from_data: bool = False


class FittedSynthesizer:
    """A fitted synthesizer: samples, saves, and cannot reach the private table. All post-processing."""

    def __init__(
        self, *, config: Synthesizer, encoder: TableEncoder, model: SampleModel, claim: Claim
    ) -> None:
        self.config = config
        self.encoder = encoder
        self.model = model
        self.claim = claim

    def __repr__(self) -> str:
        """Configuration and claim."""
        mark = "" if self.claim.private else ", NOT_PRIVATE"
        return f"Fitted({self.config!r}{mark})"

    @property
    def schema(self) -> Schema:
        """The public schema."""
        return self.encoder.schema

    def sample(
        self,
        n: int | None = None,
        seed: int | None = None,
        conditions: Mapping[str, Any] | str | None = None,
        progress: Report | None = None,
    ) -> pd.DataFrame:
        """`n` synthetic rows (default: the public row count) with the schema's columns, order and dtypes.

        seed: makes the sample repeatable. conditions: an expression that holds in every row, "age >= 60 and
        sex = 'Female'", or {column: value}, where a list is any of its values, None is missing, and
        slice(60, 69) is a range with both ends. Raises ConfigurationError for conditions that cannot be met.
        """
        chunks = list(self.sample_chunks(n, seed, conditions, progress))
        return chunks[0] if len(chunks) == 1 else pd.concat(chunks, ignore_index=True)

    def sample_chunks(
        self,
        n: int | None = None,
        seed: int | None = None,
        conditions: Mapping[str, Any] | str | None = None,
        progress: Report | None = None,
    ) -> Iterator[pd.DataFrame]:
        """The rows that `sample` gives for the same arguments, SAMPLING_CHUNK at a time and at least once.

        Memory does not grow with `n`, but for unique identifiers of a pattern with alternatives.
        """
        count = self.claim.rows if n is None else n
        configuration.require("n", count, 0, 10**9, whole=True)
        rng, generator = generators(seed)
        wanted = Conditions.read(conditions, self.schema)
        report = progress or silent
        report(SAMPLING, 0, count)
        made, makers = 0, dict[str, IdentifierMaker]()
        for positions in in_chunks(self._draw(int(count), rng, generator, wanted), SAMPLING_CHUNK):
            frame = self.encoder.frame(positions, rng, makers)
            made += len(frame)
            report(SAMPLING, made, count)
            yield frame

    def reach(self, conditions: Mapping[str, Any] | str) -> Reach:
        """How likely conditions are under the model, and how well a sample can meet them.

        What ties columns together, and is met by redrawing, is left out.
        """
        return self.model.reach(Conditions.read(conditions, self.schema).evidence(self.encoder))

    def complete(
        self,
        table: pd.DataFrame,
        n: int = 1,
        seed: int | None = None,
        present: bool = False,
    ) -> pd.DataFrame:
        """Every row of `table` filled in `n` times: missing cells, and columns that it lacks, are drawn.

        They are drawn given the row's other cells, which stay as they are; a row whose own cells break a
        constraint of the schema keeps breaking it. present: draw no missing value. Rows come in the table's
        order, each `n` times in a row. Post-processing. Raises ConfigurationError for values outside the
        schema.
        """
        configuration.require("n", n, 1, 10**6, whole=True)
        rng, generator = generators(seed)
        wanted = Conditions.read(None, self.schema)
        evidence = dict(wanted.evidence(self.encoder))
        for at, codec in enumerate(self.encoder.codecs.values()):
            if present and codec.nullable:
                evidence[at] = evidence.get(at, np.ones(codec.cells)) * (
                    np.arange(codec.cells) < codec.cells - 1
                )
        known = partial_positions(table, self.schema)[np.repeat(np.arange(len(table)), n)]
        drawn = np.zeros_like(known)
        left = np.arange(len(known))
        for _ in range(MOST_REDRAWS):
            codes = self.model.joint().complete(self.encoder.encode_partial(known[left]), generator, evidence)
            drawn[left] = self.encoder.decode(codes, rng, wanted.regions, known[left])
            left = left[~wanted.met(drawn[left], self.schema)]
            if not len(left):
                break
        return self.encoder.frame(drawn, rng)

    def _draw(
        self, count: int, rng: np.random.Generator, generator: torch.Generator, wanted: Conditions
    ) -> Iterator[Positions]:
        """`count` rows of positions in parts, the first of them empty."""
        yield np.zeros((0, len(self.encoder.codecs)), dtype=np.int64)
        evidence = wanted.evidence(self.encoder)
        made = tried = 0
        while made < count:
            picky = wanted.rest or wanted.rules
            size = SAMPLING_CHUNK if picky and made else min(SAMPLING_CHUNK, count - made)
            codes = self.model.draw(size, generator, evidence)
            drawn = self._determined(self.encoder.decode(codes, rng, wanted.regions))
            drawn = drawn[wanted.met(drawn, self.schema)][: count - made]
            made, tried = made + len(drawn), tried + size
            if not made and tried >= MOST_TRIES:
                raise ConfigurationError(
                    f"the conditions must be possible under the model, found none in {tried:,} tries; relax "
                    f"them."
                )
            yield drawn

    def _determined(self, positions: Positions) -> Positions:
        """The rows with what one column determines of another, as the model finds it likeliest."""
        for by, column, values in self._determinations:
            source = positions[:, by]
            positions[:, column] = np.where(source < 0, positions[:, column], values[np.maximum(source, 0)])
        return positions

    @cached_property
    def _determinations(self) -> list[tuple[int, int, Positions]]:
        """Of each constraint 'by -> column': both places, and a position for every category of `by`."""
        names, found = list(self.encoder.codecs), []
        for first, second in Conditions.read(None, self.schema).determined:
            by, column = names.index(first), names.index(second)
            codes = np.full((self.schema.columns[first].size, len(names)), -1, dtype=np.int16)
            codes[:, by] = self.encoder.codecs[first].encode(np.arange(len(codes)))
            likeliest = self.model.joint().conditionals(codes, [column])[0].argmax(1)
            found.append((by, column, self.encoder.codecs[second].heaviest(likeliest)))
        return found

    def save(self, path: Any) -> None:
        """Write a folder with synthesizer.json and weights.safetensors; no pickle, no private row.

        Among several processes the lead writes, and nothing happens in the others.
        """
        if not processes.leads():
            return
        description = {
            "kind": self.config.name,
            "config": configuration.to_dict(self.config),
            "claim": saving.plain(asdict(self.claim)),
            "encoder": self.encoder.to_dict(),
        }
        saving.write(path, description, self.model.tensors())


def in_chunks(parts: Iterable[Positions], size: int) -> Iterator[Positions]:
    """The rows of `parts` in order, `size` at a time; the last chunk, perhaps empty, holds the rest."""
    held: list[Positions] = []
    for part in parts:
        held.append(part)
        while sum(map(len, held)) > size:
            rows = np.concatenate(held)
            yield rows[:size]
            held = [rows[size:]]
    yield np.concatenate(held)


def generators(seed: int | None) -> tuple[np.random.Generator, torch.Generator]:
    """Both kinds of generator that sampling draws from, the same for the same seed."""
    entropy = np.random.SeedSequence(seed)
    torch_seed = int(entropy.generate_state(1, np.uint64)[0] >> 1)
    return np.random.default_rng(entropy), torch.Generator().manual_seed(torch_seed)
