"""Bulk files: Parquet in the state folder. A file counts once the catalog lists it; before that it is a leftover.

A run writes into a staging folder named by its lease's number, so that a holder who lost the lease can never touch the
files of the next; inside the commit's transaction the files are renamed to where they stay.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from segmentry.errors import StateError

STAGING = "staging"
LEDGER_KIND, PENDING = "ledger", ".pending"
"""Files of this kind get their final name only once their run is committed: see `ledger`."""

BULK = ("runs", "contacts")
"""The folders that hold bulk files; everything in them that the catalog doesn't list may be removed."""


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file written but not yet counted. `path` is where it will be, relative to the state folder."""

    path: str
    kind: str
    bytes: int


@dataclass
class Staging:
    """Where one holder of the lease writes its files."""

    root: Path
    number: int
    files: list[StagedFile] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / STAGING / str(self.number)

    def write(self, path: str, kind: str, frame: pl.DataFrame) -> str:
        """Writes a frame as Parquet, to the disk for certain, and gives its path back. Equal frames are equal bytes."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            frame.write_parquet(target, compression="zstd", compression_level=1, statistics=False)
            size = _to_disk(target)
        except OSError as error:
            raise StateError(f"{path} can't be written in the state folder {self.root}: {error.strerror or error}") from error
        self.files.append(StagedFile(path, kind, size))
        return path

    def publish(self) -> None:
        """Renames every file to its place, and makes the folders' entries certain. Call inside the commit's transaction."""
        folders: set[Path] = set()
        for file in self.files:
            target = self.root / self.published(file)
            for parent in [*reversed(target.relative_to(self.root).parents)][1:]:
                folder = self.root / parent
                if not folder.exists():
                    folder.mkdir()
                    folders.add(folder.parent)
            (self.folder / file.path).replace(target)
            folders.add(target.parent)
        for folder in sorted(folders):
            sync_folder(folder)

    def published(self, file: StagedFile) -> str:
        """Where a file is until its commit is certain: in its place, but for the ledger's, which has a passing name."""
        return file.path if file.kind != LEDGER_KIND else f"{file.path.removesuffix('.parquet')}.{self.number}{PENDING}"

    def remove(self) -> None:
        """Removes whatever is left in the staging folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read(root: Path, paths: Iterable[str], columns: list[str] | None = None) -> pl.DataFrame:
    """The rows of bulk files, one after another."""
    return pl.concat([pl.read_parquet(root / path, columns=columns, glob=False, hive_partitioning=False) for path in paths], rechunk=True)


def changes(root: Path, path: str, segment: str) -> pl.DataFrame:
    """One segment's rows of a file of changes, which is sorted by segment: row groups of others are not read."""
    found = pl.scan_parquet(root / path, glob=False, hive_partitioning=False).filter(pl.col("segment") == segment)
    return found.collect()


def sync_folder(folder: Path) -> None:
    """Makes a folder's entries certain on disk; where folders can't be opened (Windows) the file system sees to it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unlisted(root: Path, listed: set[str], keep_staging: int | None = None) -> tuple[int, int]:
    """Removes staging folders of other holders and bulk files that the catalog doesn't list: how many files and bytes."""
    files = freed = 0
    staging = root / STAGING
    if staging.is_dir():
        for folder in staging.iterdir():
            if folder.name != str(keep_staging):
                files, freed = _count(folder, files, freed)
                shutil.rmtree(folder, ignore_errors=True)
    for kind in BULK:
        for path in sorted((root / kind).glob("*/*")):
            if path.relative_to(root).as_posix() not in listed:
                files, freed = _count(path, files, freed)
                with suppress(FileNotFoundError):
                    path.unlink()
        for folder in (root / kind).glob("*"):
            with suppress(OSError):
                folder.rmdir()  # only an empty one goes
    return files, freed


def _count(path: Path, files: int, freed: int) -> tuple[int, int]:
    found = [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]
    return files + len(found), freed + sum(inner.stat().st_size for inner in found)


def _to_disk(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
