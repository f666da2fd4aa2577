"""Where a command's words go: data to stdout in the format asked for, talk and progress to stderr.

The one place that knows streams, terminals and file formats. Data leaves as bytes in UTF-8, batch by batch, so that a
pipe gets its first line before the last contact is read.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console
    from rich.table import Table

DANGEROUS = "=+-@\t\r\n＝＋－＠"
"""A text cell that begins with one of these (the full-width forms too) is a formula to a spreadsheet; `--safe` defuses it."""

WIDE = 100_000
"""Columns of a table that goes to a file or a pipe: nothing is ever cut or wrapped there."""


# ---------------------------------------------------------------- stdout


def stdout() -> IO[bytes]:
    """The stream of bytes that data goes to."""
    return sys.stdout.buffer


def is_terminal(stream: IO[Any]) -> bool:
    """Whether somebody looks at this stream."""
    return stream.isatty()


def console(stream: IO[str]) -> Console:
    """A rich console on this stream: with colour and the terminal's width only where it is a terminal."""
    from rich.console import Console

    terminal = is_terminal(stream)
    color = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return Console(
        file=stream,
        force_terminal=terminal,
        no_color=not color,
        width=None if terminal else WIDE,
        markup=False,
        highlight=False,
        emoji=False,
    )


def print_text(text: str) -> None:
    """Plain text on stdout."""
    click.echo(text)


def print_json(value: object) -> None:
    """One JSON value on stdout, indented."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=json_value))


def print_frame(frame: pl.DataFrame, *, grouped: Collection[str] = ()) -> None:
    """A small frame as a table on stdout."""
    target = console(sys.stdout)
    with target.capture() as captured:
        target.print(table(frame, grouped=grouped), soft_wrap=False)
    # rich fills every line up to the table's width; spaces at an end are noise in a file
    click.echo("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")), color=is_terminal(sys.stdout))


def table(frame: pl.DataFrame, *, grouped: Collection[str] = ()) -> Table:
    """A frame as a rich table: numbers to the right; `grouped` columns get commas."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from segmentry.engine.render import cell, visible

    result = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name, dtype in frame.schema.items():
        number = dtype.is_numeric()
        result.add_column(Text(visible(name)), justify="right" if number else "left", no_wrap=number or dtype.is_temporal())
    for row in frame.iter_rows():
        result.add_row(*(Text(cell(value, grouped=name in grouped)) for name, value in zip(frame.columns, row, strict=True)))
    return result


def emit(
    frame: pl.DataFrame | pl.LazyFrame, form: str, *, output: Path | None = None, safe: bool = False, grouped: Collection[str] = ()
) -> None:
    """Rows, in the format asked for, to stdout or to a file that appears whole or not at all."""
    if form == "table":
        print_frame(frame.lazy().collect(), grouped=grouped)
    elif output is None:
        WRITERS[form, safe](frame.lazy(), stdout())
    else:
        with replacing(output) as stream:
            WRITERS[form, safe](frame.lazy(), stream)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes become `path` when the block ends well; readers of the former file never see half of the new one."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # the name that was asked for, not the passing one
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


# ---------------------------------------------------------------- formats


def write_csv(frame: pl.LazyFrame, stream: IO[bytes], safe: bool = False) -> None:
    """CSV with a header: missing is an empty cell, empty text is `""`, lists are JSON, times are ISO 8601."""
    first = True
    for batch in batches(frame):
        rows = as_csv_columns(batch, safe)
        stream.write(rows.write_csv(include_header=first).encode())
        first = False


def write_json(frame: pl.LazyFrame, stream: IO[bytes]) -> None:
    """A JSON array, one object a line; decimals are text (a JSON number would lose digits), times are ISO 8601."""
    stream.write(b"[")
    first = True
    for batch in batches(frame):
        lines = batch.with_columns(*iso_times(batch)).write_ndjson().rstrip("\n")
        if lines:
            stream.write((b"\n" if first else b",\n") + lines.replace("\n", ",\n").encode())
            first = False
    stream.write(b"]\n" if first else b"\n]\n")


def write_ndjson(frame: pl.LazyFrame, stream: IO[bytes]) -> None:
    """One JSON object a line, values as in `write_json`."""
    for batch in batches(frame):
        stream.write(batch.with_columns(*iso_times(batch)).write_ndjson().encode())


def write_parquet(frame: pl.LazyFrame, stream: IO[bytes]) -> None:
    """Parquet, types as they are."""
    from pyarrow import parquet

    writer = None
    for batch in batches(frame):
        rows = batch.to_arrow()
        writer = writer or parquet.ParquetWriter(stream, rows.schema)
        writer.write_table(rows)
    if writer is not None:
        writer.close()


WRITERS: Mapping[tuple[str, bool], Callable[[pl.LazyFrame, IO[bytes]], None]] = {
    ("csv", False): write_csv,
    ("csv", True): partial(write_csv, safe=True),
    ("json", False): write_json,
    ("ndjson", False): write_ndjson,
    ("parquet", False): write_parquet,
}


def batches(frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The frame's rows in order, some at a time; at least one batch, so that an empty frame has its columns."""
    empty = True
    for batch in frame.collect_batches(maintain_order=True):
        empty = False
        yield batch
    if empty:
        yield frame.head(0).collect()


def iso_times(frame: pl.DataFrame) -> list[pl.Expr]:
    """Expressions that make every time of day ISO 8601 text; with a zone it is shown in UTC, as `Z`."""
    import polars as pl

    found = []
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime):
            column = pl.col(name).dt.convert_time_zone("UTC") if dtype.time_zone else pl.col(name)
            found.append(column.dt.strftime("%Y-%m-%dT%H:%M:%S%.f" + ("Z" if dtype.time_zone else "")))
        elif isinstance(dtype, (pl.Categorical, pl.Enum)):
            found.append(pl.col(name).cast(pl.String))
    return found


def as_csv_columns(frame: pl.DataFrame, safe: bool) -> pl.DataFrame:
    """The frame with every column as CSV can hold it; `safe` also defuses text cells and column names that a spreadsheet would run."""
    import polars as pl

    frame = frame.with_columns(*iso_times(frame))
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    if nested:
        frame = frame.with_columns(*(pl.Series(name, [_json_cell(value) for value in frame[name].to_list()], pl.String) for name in nested))
    if not safe:
        return frame
    texts = [pl.col(name) for name, dtype in frame.schema.items() if dtype == pl.String]
    frame = frame.with_columns(
        *(pl.when(text.str.slice(0, 1).is_in(list(DANGEROUS))).then(pl.lit("'") + text).otherwise(text).name.keep() for text in texts)
    )
    return frame.rename({name: f"'{name}" for name in frame.columns if name[:1] and name[0] in DANGEROUS})


def _json_cell(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=json_value)


def json_value(value: object) -> object:
    """What JSON has no form of, as text: exact decimals, dates, times (UTC as `Z`), paths."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat()
    if isinstance(value, (date, Decimal, Path)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Sequence, set, frozenset)):
        return list(value)
    return str(value)


def print_styled(pieces: Sequence[tuple[str, str]]) -> None:
    """Text in pieces of (text, style) on stdout; styles show on a terminal only. Style names are `good`, `bad`, `dim`, `bold` and empty."""
    styles: dict[str, dict[str, Any]] = {"good": {"fg": "green"}, "bad": {"fg": "red"}, "dim": {"dim": True}, "bold": {"bold": True}}
    click.echo("".join(click.style(text, **styles[style]) if style else text for text, style in pieces), color=is_terminal(sys.stdout))
