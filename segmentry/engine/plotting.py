"""Curves of sizes over time: as block characters for terminals, and as an SVG document. Plain text both, and no library."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

BLOCKS = " ▁▂▃▄▅▆▇█"
"""Eighths of a character's height."""

HEIGHT = 8
"""Lines of one picture."""

COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2")
WIDE, HIGH, LEFT, TOP, BELOW = 960, 420, 80, 30, 70


@dataclass(frozen=True)
class Curve:
    """A name and its sizes, one for each instant."""

    name: str
    sizes: Sequence[int]


def in_blocks(curves: Sequence[Curve], first: datetime, last: datetime, width: int) -> str:
    """A picture for each curve, one below the other, all from 0 to the same top; the last size of each column is shown."""
    top = max(1, *(size for curve in curves for size in curve.sizes))
    label = len(f"{top:,}")
    columns = max(10, width - label - 3)
    return "\n".join(line for curve in curves for line in _picture(curve, top, label, columns, first, last))


def _picture(curve: Curve, top: int, label: int, columns: int, first: datetime, last: datetime) -> list[str]:
    shown = _columns(curve.sizes, columns)
    # somebody is never shown as nobody
    heights = [max(round(size * HEIGHT * 8 / top), 1 if size else 0) for size in shown]
    lines = [curve.name]
    for row in range(HEIGHT - 1, -1, -1):
        scale = f"{top:,}" if row == HEIGHT - 1 else "0" if not row else ""
        bar = "".join(BLOCKS[min(max(height - 8 * row, 0), 8)] for height in heights)
        lines.append(f"{scale:>{label}} │{bar}".rstrip())
    begin, end = f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}"
    gap = max(1, len(shown) - len(begin) - len(end))
    return [*lines, f"{'':>{label}} └{'─' * len(shown)}", f"{'':>{label}}  {begin}{' ' * gap}{end}", ""]


def _columns(sizes: Sequence[int], columns: int) -> list[int]:
    """The sizes as at most so many columns; fewer instants have several columns each."""
    wide = max(1, columns // len(sizes)) if len(sizes) <= columns else 1
    if len(sizes) <= columns:
        return [size for size in sizes for _ in range(wide)]
    return [sizes[(place + 1) * len(sizes) // columns - 1] for place in range(columns)]


def svg(curves: Sequence[Curve], instants: Sequence[datetime], note: str) -> str:
    """One picture of all curves, with a scale, the period and a legend."""
    top = max(1, *(size for curve in curves for size in curve.sizes))
    across, down = WIDE - LEFT - 20, HIGH - TOP - BELOW
    begin, span = instants[0], max((instants[-1] - instants[0]).total_seconds(), 1.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH + 20 * len(curves)}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for quarter in range(5):
        y = TOP + down * (1 - quarter / 4)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + across}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{top * quarter / 4:,.0f}</text>')
    for at, anchor, x in ((instants[0], "start", LEFT), (instants[-1], "end", LEFT + across)):
        parts.append(f'<text x="{x}" y="{TOP + down + 20}" text-anchor="{anchor}">{at:%Y-%m-%d %H:%M} UTC</text>')
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        places = [
            (LEFT + across * (at - begin).total_seconds() / span, TOP + down * (1 - size / top))
            for at, size in zip(instants, curve.sizes, strict=True)
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>')
        y = TOP + down + 45 + 20 * number
        parts.append(f'<rect x="{LEFT}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 18}" y="{y}">{html.escape(" ".join(curve.name.split()))}</text>')
    parts.append(f'<text x="{LEFT}" y="18" fill="#6b7280">{html.escape(note)}</text>')
    return "\n".join([*parts, "</svg>", ""])
