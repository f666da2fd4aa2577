"""How results look: one cell as a line of text, a frame as a table for people, a frame as HTML for notebooks.

Values in, text out; nothing here computes or prints. A contact's data is never trusted: control characters, which a
terminal would obey, are shown as escapes, and HTML is escaped.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MISSING = "–"
"""What stands for a missing value in tables and explanations."""

HTML_ROWS = 20
"""Rows of a frame that a notebook shows."""


def cell(value: object, *, grouped: bool = False) -> str:
    """One value as one line of text; `grouped` puts commas into whole numbers (for counts, never for data)."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}" if grouped else str(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, (date, Decimal)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(cell(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{cell(key)}: {cell(item)}" for key, item in value.items()) + "}"
    return visible(str(value))


def moment(value: datetime) -> str:
    """An instant to the second where that is all it says; UTC shows as `Z`, a time without a zone has none."""
    text = value.isoformat(sep=" ")
    return text.removesuffix("+00:00") + "Z" if value.tzinfo is not None and value.utcoffset() == UTC.utcoffset(None) else text


def second(value: datetime) -> str:
    """An instant to the second, for headlines."""
    return moment(value.replace(microsecond=0))


def visible(text: str) -> str:
    """The text on one line, with every control and direction-changing character as its escape."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char
        for char in text
    )


def table_html(frame: pl.DataFrame, *, rows: int = HTML_ROWS, grouped: Collection[str] = ()) -> str:
    """A frame's first rows as an HTML table, with a line that says how many more there are."""
    head = "".join(f"<th>{html.escape(visible(name))}</th>" for name in frame.columns)
    lines = [f"<table><thead><tr>{head}</tr></thead><tbody>"]
    for row in frame.head(rows).iter_rows():
        cells = "".join(
            f"<td>{html.escape(cell(value, grouped=name in grouped))}</td>" for name, value in zip(frame.columns, row, strict=True)
        )
        lines.append(f"<tr>{cells}</tr>")
    lines.append("</tbody></table>")
    if frame.height > rows:
        lines.append(f"<p>{rows:,} of {frame.height:,} rows</p>")
    return "".join(lines)
