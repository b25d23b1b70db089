"""Adult, enlarged to any number of rows: drawn with replacement, wide columns jittered, streamed to a file.

    python -m benchmarks.scale.enlarge 20000000 /tmp/adult-20M.parquet

The same count gives the same rows. A measure of speed and memory only: there are no new people in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from synthpriv.schema import Integer, Schema
from synthpriv.tables import CHUNK_ROWS, conform, read_table, write_chunks

DATASETS = Path(__file__).parents[2] / "datasets"
SCHEMA = DATASETS / "adult.toml"
WIDE = 1000
SEED = 7


def enlarged(rows: int) -> Iterator[pd.DataFrame]:
    """`rows` rows in chunks; numbers with a wide domain move by up to 2 percent, zeros stay."""
    schema = Schema.read(SCHEMA)
    source, _ = conform(read_table(DATASETS / "adult.csv.gz", schema), schema)
    wide = {
        name: column
        for name, column in schema.columns.items()
        if isinstance(column, Integer) and column.size > WIDE
    }
    rng = np.random.default_rng(SEED)
    for start in range(0, rows, CHUNK_ROWS):
        count = min(CHUNK_ROWS, rows - start)
        chunk = source.iloc[rng.integers(len(source), size=count)].reset_index(drop=True)
        for name, column in wide.items():
            moved = np.rint(chunk[name] * rng.uniform(0.98, 1.02, count))
            chunk[name] = moved.clip(column.lower, column.upper).astype("int64")
        yield chunk


def main() -> None:
    """Write the table that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    write_chunks(enlarged(arguments.rows), arguments.out, Schema.read(SCHEMA))


if __name__ == "__main__":
    main()
