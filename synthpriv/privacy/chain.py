"""Chain: an append-only, durable, hash-chained list of JSON entries; what the ledger writes on.

Each entry's SHA-256 covers the digest before it and its own canonical JSON, so no entry can be changed, moved
or removed from the middle unnoticed. Whoever can rewrite the whole file can rebuild the whole chain: the head
digest that travels in a bundle is what pins it down.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthpriv.errors import LedgerError

_WAIT = 120.0  # seconds to wait for other processes; the longest charge takes a few
_ROOT = "synthpriv ledger 1"
_TABLES = (
    """CREATE TABLE IF NOT EXISTS entries (
        sequence INTEGER PRIMARY KEY, content TEXT NOT NULL, digest TEXT NOT NULL)""",
    """CREATE TRIGGER IF NOT EXISTS entries_are_final BEFORE UPDATE ON entries
        BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS entries_remain BEFORE DELETE ON entries
        BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END""",
)
_Row = tuple[Any, Any, Any]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry: its place in the chain, from 0; its content; the SHA-256 that covers it and all before."""

    sequence: int
    content: dict[str, Any]
    digest: str


class Transaction:
    """The entries so far, and a way to add; what is added is durable once the transaction has ended."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.added: list[_Row] = []

    def append(self, content: dict[str, Any]) -> Entry:
        """Add an entry of plain JSON values. Raises LedgerError for anything else."""
        text = canonical(content)
        digest = _digest(self.entries[-1].digest if self.entries else _ROOT, text)
        entry = Entry(sequence=len(self.entries), content=json.loads(text), digest=digest)
        self.entries.append(entry)
        self.added.append((entry.sequence, text, digest))
        return entry


class Chain:
    """The entries of one file, or of this process's memory where path is None."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._rows: list[_Row] = []
        self._lock = threading.RLock()
        self._process = os.getpid()

    def entries(self) -> list[Entry]:
        """All entries, oldest first, each checked. Raises LedgerError naming the first that is broken."""
        if self.path is None:
            with self._memory() as rows:
                return _checked(rows)
        with _connection(self.path) as connection:
            return _checked(_rows(connection))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Exclusive among threads and processes; an exception or a kill inside leaves the chain as it was."""
        if self.path is None:
            with self._memory() as rows:
                transaction = Transaction(_checked(rows))
                yield transaction
                rows += transaction.added
            return
        with _connection(self.path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                _create(connection, self.path)
                transaction = Transaction(_checked(_rows(connection)))
                yield transaction
                connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", transaction.added)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _memory(self) -> Iterator[list[_Row]]:
        """The rows in memory, which a forked child must not charge a second time."""
        if self._process != os.getpid():
            raise LedgerError(
                "a ledger in memory must stay in its process, found it in a forked one. Use Ledger.open."
            )
        with self._lock:
            yield self._rows


def canonical(content: dict[str, Any]) -> str:
    """The one JSON text of `content`: sorted keys, no spaces, ASCII. Raises LedgerError for other values."""
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LedgerError(
            f"ledger entries must be plain, finite JSON values, found {content!r}. Convert them first."
        ) from error


def verified(exported: Any) -> list[Entry]:
    """The entries of a ledger that was exported as JSON, each checked.

    Raises LedgerError naming the first that is broken; KeyError, TypeError or AttributeError for no ledger.
    """
    rows = []
    for entry in exported["entries"]:
        content = {key: value for key, value in entry.items() if key not in ("sequence", "digest")}
        rows.append((entry["sequence"], canonical(content), entry["digest"]))
    return _checked(rows)


def _digest(previous: str, text: str) -> str:
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def _checked(rows: Sequence[_Row]) -> list[Entry]:
    """Rows as entries. Raises LedgerError naming the first entry that does not follow from those before."""
    entries: list[Entry] = []
    previous = _ROOT
    for position, (sequence, text, digest) in enumerate(rows):
        sound = sequence == position and isinstance(text, str) and digest == _digest(previous, text)
        content = _content(text) if sound else None
        if content is None:
            raise LedgerError(
                f"every ledger entry must follow from those before it, found entry {position} altered or "
                "missing. Restore the file from a copy; charge nothing to it until then."
            )
        entries.append(Entry(sequence=position, content=content, digest=digest))
        previous = digest
    return entries


def _content(text: str) -> dict[str, Any] | None:
    """The object that a JSON text holds, None if it holds none."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _rows(connection: sqlite3.Connection) -> list[_Row]:
    """The stored rows as they are, text that is not UTF-8 as bytes."""
    connection.text_factory = _text
    return connection.execute("SELECT sequence, content, digest FROM entries ORDER BY sequence").fetchall()


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _create(connection: sqlite3.Connection, path: Path) -> None:
    """Create the table in an empty file; leave alone a database that is something else."""
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if names and "entries" not in names:
        raise LedgerError(f"{path} must be a ledger, found another SQLite database. Choose another path.")
    for statement in _TABLES:
        connection.execute(statement)


@contextlib.contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A fresh connection for one operation: none is shared with threads or inherited by forked children."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_WAIT, isolation_level=None)) as connection:
            # A rollback journal, not WAL: one file, no side files to lose. EXTRA syncs the folder as well.
            connection.execute("PRAGMA synchronous = EXTRA")
            yield connection
    except sqlite3.Error as error:
        raise LedgerError(
            f"{path} must be a ledger that can be read and written, found: {error}. "
            "Check the path, its permissions and the disk."
        ) from error
