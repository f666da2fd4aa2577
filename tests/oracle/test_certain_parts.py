"""What is said of a rule's parts can be acted on: with `true` or `false` in place of such a part, the engine finds the same contacts."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields, replace
from typing import Any

import pytest

from segmentry.engine.evaluation import Evaluation
from segmentry.engine.frames import EventFrame, snapshot_of
from segmentry.engine.plan import make_plan
from segmentry.engine.schemas import schema_of
from segmentry.rules import nodes as n
from segmentry.rules.certainties import Finding, Search
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.parse import parse_text
from segmentry.rules.proofs import Prover
from tests.oracle import zones
from tests.oracle.datasets import arrow_table, draw_dataset
from tests.oracle.printer import text_of
from tests.oracle.related import draw_related

INSTEAD = {"R901": (False,), "R902": (True,), "R906": (False,), "R907": (True, False)}
"""What may stand in place of a part by what was said of it; of one that changes nothing, that is told by what is around it."""


def put(node: n.Node, part: n.Node, instead: n.Node) -> n.Node:
    """A tree with something else in place of a part, known by identity."""
    if node is part:
        return instead
    changed: dict[str, Any] = {}
    for spec in fields(node):
        value = getattr(node, spec.name)
        items = value if isinstance(value, tuple) else (value,)
        made = tuple(put(item, part, instead) if isinstance(item, n.Node) else item for item in items)
        if any(one is not other for one, other in zip(items, made, strict=True)):
            changed[spec.name] = made if isinstance(value, tuple) else made[0]
    return replace(node, **changed) if changed else node


def wrong(seed: str, rules: int, codes: Counter[str]) -> list[str]:
    """Findings that are not true of the data drawn; their codes are counted."""
    draw = random.Random(seed)
    data = draw_dataset(draw, contacts=60, events=150)
    drawn = draw_related(draw, data, rules)
    events = [EventFrame(arrow_table(t.columns, t.rows), t.contact, t.at, t.name, t.event, data.scale) for t in data.tables]
    sources = snapshot_of(data.arrow(), data.key.name, events)
    schema = schema_of(sources.snapshot, drawn.keys(), frames=sources.frames)
    clock = Clock(zones.moment(data.clock.as_of), data.clock.zone)
    conditions = {name: check(parse_text(text_of(rule)), schema, proofs=False)[0] for name, rule in drawn.items()}
    asked = {name: ground(condition, clock) for name, condition in conditions.items()}
    members = dict(asked)
    found: list[tuple[str, Finding, list[str]]] = []
    for name, condition in conditions.items():
        for search in (Search(Prover(), lambda node: node), Search(Prover(members), lambda node: ground(node, clock))):
            search.whole(condition)
            for finding in search.found:
                columns = [f"{name}:{len(found)}:{truth}" for truth in INSTEAD[finding.code]]
                for column, truth in zip(columns, INSTEAD[finding.code], strict=True):
                    other = put(condition, finding.node, n.Always(value=truth))
                    assert isinstance(other, n.Condition)
                    asked[column] = ground(other, clock)
                found.append((name, finding, columns))
    with Evaluation(sources.snapshot, clock=clock, frames=sources.frames) as evaluation:
        plan = make_plan(asked, sources.snapshot, clock)
        evaluation.prepare(plan)
        memberships = evaluation.memberships(plan)
        answers = {name: memberships.column(name).to_list() for name in asked}
    codes.update(finding.code for _, finding, _ in found)
    return [
        f"seed {seed}: {finding.code} of {finding.node} in {text_of(drawn[name])}"
        for name, finding, columns in found
        if all(answers[column] != answers[name] for column in columns)
    ]


def test_parts_of_which_something_is_said_can_be_replaced(seed: int):
    codes: Counter[str] = Counter()
    found = wrong(f"{seed}:parts", 30, codes)
    assert not found, "\n".join(found[:5])
    assert codes


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_parts_of_thousands_of_rules_of_which_something_is_said_can_be_replaced(seed: int, part: int):
    codes: Counter[str] = Counter()
    for number in range(15):
        found = wrong(f"{seed}:parts:{part}:{number}", 60, codes)
        assert not found, "\n".join(found[:5])
    assert set(codes) >= {"R901", "R902", "R907"}
