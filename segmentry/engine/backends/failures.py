"""What a failure of DuckDB's says to a user: which file is damaged, that memory or disk ran out. Anything else is our own bug.

A damaged Parquet file can fail with any words, so on a failure the files that were being read are read once more, one
by one, by another reader: the one that fails there too is to blame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import parquet

from segmentry.errors import SegmentryError, SourceError
from segmentry.rules.diagnostics import Diagnostic


@contextmanager
def told(paths: Iterable[str]) -> Iterator[None]:
    """A block that reads these files through DuckDB. Raises SourceError with every damaged file, SegmentryError, or KeyboardInterrupt."""
    try:
        yield
    except (duckdb.InterruptException, RuntimeError) as error:
        # DuckDB takes Ctrl-C for itself while a query runs, and tells of it in this way
        if isinstance(error, RuntimeError) and "interrupted" not in str(error).lower():
            raise
        raise KeyboardInterrupt from error
    except duckdb.OutOfMemoryException as error:
        help = "allow more with `engine: {memory: ...}` in segmentry.yml, or use fewer threads"
        raise SegmentryError(f"there was not enough memory: {_first_line(error)}\n{help}") from error
    except duckdb.Error as error:
        damaged = [problem for path in paths if (problem := damage(Path(path)))]
        if damaged:
            raise SourceError(damaged) from error
        if isinstance(error, duckdb.IOException):
            raise SegmentryError(_first_line(error)) from error
        raise


def damage(path: Path) -> Diagnostic | None:
    """What is wrong with a Parquet file's content; None for a sound one, and for text files, which pinning has read whole."""
    if path.suffix.lower() not in (".parquet", ".pq"):
        return None
    try:
        with parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        help = "whatever writes it may have failed; write it again"
        return Diagnostic("S202", f"{path.name} is a damaged Parquet file", help=help, notes=(_first_line(error), str(path)))
    return None


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:300] if lines else type(error).__name__
