"""At the language's limits: work that grows no faster than a rule's tokens, and SQL in proportion to its text.

Work is counted in function calls, not seconds, so that a busy machine changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pyarrow as pa
import pytest

from segmentry.engine.frames import EventFrame, FrameSnapshot, snapshot_of
from segmentry.engine.lowering import sql
from segmentry.engine.plan import make_plan
from segmentry.engine.schemas import schema_of
from segmentry.engine.whole import render_whole
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.parse import parse_text
from segmentry.rules.schema import Schema
from tests.engine.conftest import AS_OF, at

LONGEST = 64 * 1024
MOST_TOKENS = 5_000

SHAPES: dict[str, Callable[[int], str]] = {
    "many different conditions": lambda n: " or ".join(f"value + 1 = {i}" for i in range(n // 6)),
    "the same condition": lambda n: " and ".join(["location = 'UK' "] * (n // 5)),
    "a long sum": lambda n: " + ".join(["value"] * (n // 2 - 1)) + " > 1",
    "a sum of decimals": lambda n: " + ".join(f"value * {i}.5" for i in range(n // 4 - 1)) + " > 1",
    "a long list": lambda n: f"location in ({', '.join(repr(f'v{i}') for i in range(n // 2))})",
    "numbers in a list": lambda n: f"value in ({', '.join(map(str, range(n // 2)))})",
    "texts within texts": lambda n: " or ".join(f"not location contains 'x{i}'" for i in range(n // 5)),
    "events": lambda n: " or ".join(f"did(order, amount > {i})" for i in range(n // 9)),
    "aggregates": lambda n: " or ".join(f"sum(order.amount, amount > {i}) > {i}" for i in range(n // 13)),
    "first events": lambda n: " or ".join(f"first(order, amount > {i}) < ago('{i + 1} days')" for i in range(n // 14)),
    "calendar parts": lambda n: " or ".join(f"month(seen) = {i}" for i in range(n // 7)),
    "rounded floats": lambda n: " or ".join(f"floor(ratio / {i + 2}) = {i}" for i in range(n // 10)),
    "negations": lambda n: " or ".join(f"not (value = {i} and location = 'x{i}')" for i in range(n // 11)),
    "at least": lambda n: f"at_least(2, {', '.join(f'not value = {i}' for i in range(n // 5 - 2))})",
}


@pytest.fixture(scope="module")
def data() -> tuple[FrameSnapshot, Schema]:
    contacts = pa.table({"id": [1], "location": ["UK"], "value": [1], "ratio": [0.5], "seen": at("2026-01-01")})
    events = pa.table({"contact_id": [1], "at": at("2026-06-01"), "event": ["order"], "amount": [1.5]})
    sources = snapshot_of(contacts, "id", [EventFrame(events, "contact_id", "at", "event")])
    return sources, schema_of(sources.snapshot, ["rule"], frames=sources.frames)


def compiled(text: str, data: tuple[FrameSnapshot, Schema], zone: str = "UTC") -> str:
    sources, schema = data
    clock = Clock(AS_OF, zone)
    condition = ground(check(parse_text(text), schema, source=text)[0], clock)
    plan = make_plan({"rule": condition}, sources.snapshot, clock)
    return ";".join(sql.render(query) for _, query in plan.queries())


def whole(text: str, data: tuple[FrameSnapshot, Schema], dialect: str) -> str:
    sources, schema = data
    clock = Clock(AS_OF, "UTC")
    condition = ground(check(parse_text(text), schema, source=text)[0], clock)
    return render_whole({"rule": condition}, sources.snapshot, clock, dialect=dialect)


def calls(work: Callable[[], object]) -> int:
    """How many functions are entered, Python's and the interpreter's own."""
    count = 0

    def seen(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_work_grows_no_faster_than_tokens(shape: str, data: tuple[FrameSnapshot, Schema]):
    make = SHAPES[shape]
    compiled(make(100), data)  # what is kept from one rule to the next is made
    half, full = (calls(lambda n=n: compiled(make(n), data)) for n in (400, 800))
    assert full / half < 2.3


@pytest.mark.parametrize("tokens", [800, pytest.param(MOST_TOKENS - 50, marks=pytest.mark.full)])
@pytest.mark.parametrize("shape", SHAPES)
def test_sql_is_in_proportion_to_the_rule(shape: str, tokens: int, data: tuple[FrameSnapshot, Schema]):
    text = SHAPES[shape](tokens)
    assert len(text) <= LONGEST
    allowed = 100 * len(text)
    assert len(compiled(text, data)) <= allowed
    assert len(whole(text, data, "duckdb")) <= allowed
    assert len(whole(text, data, "spark")) <= allowed
