"""Files that are whole or not there: under another name first, on disk for certain, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from segmentry.engine.state.files import sync_folder

PARTIAL = ".part"


def file_name(text: str) -> str:
    """Text as a file's name that can lead nowhere else."""
    return re.sub(r"[^\w-]", "_", text)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, and their entries certain on disk."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    sync_folder(folder.parent)


@contextmanager
def whole(target: Path) -> Iterator[BinaryIO]:
    """What a file is to hold is written within the block; it is there once the block ends well, and not at all otherwise."""
    partial = target.with_name(f".{target.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink()
    sync_folder(target.parent)


def remove_partial(target: Path) -> None:
    """Removes what a process that was killed left of a file; call it where no other may be writing that."""
    for path in target.parent.glob(f".{target.name}.*{PARTIAL}"):
        with suppress(OSError):
            path.unlink()


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def trouble(error: OSError) -> str:
    """Why a folder could not be written, in words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk that the folder of `path` is on is full: {error.strerror}"
    return f"the folder of `path` can't be written: {error.strerror or type(error).__name__}"
