"""How time and memory grow, one dimension after the other, as Markdown: tables, charts, and where a line bends.

Between two neighbouring points cost goes like a power of the size, `log(cost ratio) / log(size ratio)`: 0 is a cost that stays, 1 one
that grows as the data do. A line bends where that exponent rises most. Processor time is what is compared: it is the same on a machine
that does something else meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Any

BAR = 40
BENDS = 0.2
"""A line whose exponent rises by less than this at every point is told to be straight."""

Point = Mapping[str, Any]
"""`contacts`, `events`, `segments`, and `steps` by name with their `seconds`, `cpu_seconds` and `peak_bytes`."""

DIMENSIONS = ("contacts", "events", "segments")


def exponents(sizes: Sequence[float], costs: Sequence[float]) -> list[float]:
    """The power of the size that the cost goes by, between each point and the next."""
    points = zip(sizes, costs, strict=True)
    return [log(cost / less) / log(size / smaller) for (smaller, less), (size, cost) in pairwise(points)]


def bend(sizes: Sequence[float], costs: Sequence[float]) -> tuple[float, float, float] | None:
    """The size at which the exponent rises most, with those before and after it; None where it nowhere rises by much."""
    found = exponents(sizes, costs)
    rises = [(after - before, size, before, after) for (before, after), size in zip(pairwise(found), sizes[1:], strict=False)]
    rise, *told = max(rises, default=(0.0, 0.0, 0.0, 0.0))
    return (told[0], told[1], told[2]) if rise >= BENDS else None


def section(curves: Mapping[str, Mapping[str, Any]]) -> str:
    """Every dimension that was measured."""
    return "\n".join(_curve(dimension, curves[dimension]) for dimension in DIMENSIONS if dimension in curves)


def _curve(dimension: str, curve: Mapping[str, Any]) -> str:
    points: Sequence[Point] = curve["points"]
    steps = list(points[0]["steps"])
    others = " and ".join(f"{points[0][other]:,} {other}" for other in DIMENSIONS if other != dimension)
    lines = [f"### More {dimension}, with {others}", "", *_table(dimension, points, steps), "", *_chart(dimension, points, steps), ""]
    lines += [f"* {_bend(dimension, points, step)}" for step in steps]
    return "\n".join([*lines, "", _ground(dimension, curve)]) + "\n"


def _table(dimension: str, points: Sequence[Point], steps: Sequence[str]) -> list[str]:
    """Of each step wall seconds, processor seconds, the exponent since the line before, and peak memory."""
    lines = [f"| {dimension} | {' | '.join(f'`{step}`: s | CPU s | exponent | MiB' for step in steps)} |"]
    lines.append(f"|---:|{'---:|' * (4 * len(steps))}")
    sizes = [point[dimension] for point in points]
    grown = {step: ["", *(f"{one:.2f}" for one in exponents(sizes, _costs(points, step)))] for step in steps}
    for number, point in enumerate(points):
        cells = [f"{point[dimension]:,}"]
        for step in steps:
            one = point["steps"][step]
            cells += [f"{one['seconds']:.1f}", f"{one['cpu_seconds']:.1f}", grown[step][number], f"{one['peak_bytes'] / 2**20:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _chart(dimension: str, points: Sequence[Point], steps: Sequence[str]) -> list[str]:
    """Processor seconds of each step as bars; beside ten times the data, a straight line's is ten times as long."""
    lines = ["```"]
    width = max(len(f"{point[dimension]:,}") for point in points)
    for step in steps:
        costs = _costs(points, step)
        lines.append(f"{step}, CPU seconds")
        for point, cost in zip(points, costs, strict=True):
            lines.append(f"{point[dimension]:>{width},} {'█' * max(1, round(BAR * cost / max(costs)))} {cost:.1f}")
    return [*lines, "```"]


def _bend(dimension: str, points: Sequence[Point], step: str) -> str:
    found = bend([point[dimension] for point in points], _costs(points, step))
    if found is None:
        return f"`{step}` bends nowhere."
    size, before, after = found
    return f"`{step}` bends at {size:,} {dimension}: its exponent is {before:.2f} before and {after:.2f} after."


def _costs(points: Sequence[Point], step: str) -> list[float]:
    return [point["steps"][step]["cpu_seconds"] for point in points]


def _ground(dimension: str, curve: Mapping[str, Any]) -> str:
    """What it ran on, and what was left out."""
    machine, sizes = curve["machine"], ",".join(f"{point[dimension] / curve['unit']:g}" for point in curve["points"])
    libraries = ", ".join(f"{name} {number}" for name, number in curve["versions"].items())
    left_out = "".join(f" Left out: {one['size']:,} {dimension}, {one['why']}." for one in curve["left_out"])
    return (
        f"`python -m benchmarks.scaling --{dimension} {sizes} --publish`. Keys are integers; one round.{left_out}"
        f" {machine['system']} on {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; each process"
        f" {curve['threads']} threads and {curve['memory']}. Python {machine['python']}, {libraries}. {curve['when']}."
    )
