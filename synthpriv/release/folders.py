"""Folders that appear under their name whole, or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synthpriv.errors import BundleError


def require_free(folder: str | Path) -> Path:
    """The folder, if it is absent or empty and can be made; raises BundleError otherwise."""
    target = Path(folder)
    if not target.name:
        raise BundleError(f"the output folder must have a name, found {str(folder)!r}; name a new folder.")
    ancestor = next(parent for parent in target.absolute().parents if parent.exists())
    if not ancestor.is_dir() or not os.access(ancestor, os.W_OK):
        found = "read-only" if ancestor.is_dir() else "a file"
        raise BundleError(
            f"the output folder {str(target)!r} must lie in a folder that can be written, found "
            f"{str(ancestor)!r} {found}; name another."
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BundleError(
            f"the output folder must be new or empty, found {str(target)!r} in use; name another or move it."
        )
    return target


@contextmanager
def scratch_folder(folder: str | Path) -> Iterator[Path]:
    """A hidden folder beside `folder`, deleted when the block ends, by an error or Ctrl-C too.

    A kill leaves it, named '.NAME.*.partial'.
    """
    target = Path(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex}.partial"
    try:
        partial.mkdir()
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """A hidden folder beside `folder` to write into; it takes the name when the block ends without an error.

    Its files get the usual permissions.
    """
    target = require_free(folder)
    with scratch_folder(target) as partial:
        yield partial
        permissions = partial.stat().st_mode & 0o666
        for path in partial.rglob("*"):
            if path.is_file():
                path.chmod(permissions)
        if target.exists():
            target.rmdir()
        partial.rename(target)
