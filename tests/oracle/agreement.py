"""Compares the product with the oracle over random rules and data, and makes the smallest case of a disagreement."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.oracle import language as lang
from tests.oracle.datasets import Dataset, draw_dataset
from tests.oracle.evaluator import answers
from tests.oracle.printer import builder_of, text_of
from tests.oracle.product import FORMS, ask
from tests.oracle.rules import draw_rules

Answers = dict[str, list[bool | None]]


@dataclass(frozen=True)
class Batch:
    """Rules over one dataset, and per rule one expected answer per contact, in row order (None: too close to call)."""

    seed: str
    data: Dataset
    rules: dict[str, lang.Condition]
    texts: dict[str, Any]
    """The same rules in random spellings: mostly text, some as builder mappings."""
    expected: Answers


def batches(seed: int, pairs: int, rules: int = 50) -> Iterator[Batch]:
    """So many pairs of rule and data, in batches that each come from a seed of their own."""
    for number in range(-(-pairs // rules)):
        yield batch(f"{seed}:{number}", min(rules, pairs - number * rules))


def batch(seed: str, rules: int = 50) -> Batch:
    draw = random.Random(seed)
    data = draw_dataset(draw)
    conditions = draw_rules(draw, data, rules)
    texts = {name: builder_of(c, draw) if draw.random() < 0.15 else text_of(c, draw) for name, c in conditions.items()}
    return Batch(seed, data, conditions, texts, answers(conditions, data.contacts(), data.clock))


def differs(expected: list[bool | None], got: list[bool]) -> int | None:
    """The first contact about whom they disagree."""
    return next((i for i, (a, b) in enumerate(zip(expected, got, strict=True)) if a is not None and a is not b), None)


def disagreements(one: Batch, form: str | None = None) -> list[str]:
    """What the product answers otherwise than the oracle, each as a smallest case; also what it refuses or fails at.

    Every rule is asked together with its negation, which must hold for exactly the other contacts.
    """
    form = form or random.Random(one.seed).choice(FORMS)
    doubled: dict[str, Any] = {}
    for name, text in one.texts.items():
        doubled[name] = text
        doubled[f"{name}_not"] = f"not ({text}\n)" if isinstance(text, str) else {"match": "none", "rules": [text]}
    try:
        got = ask(one.data, doubled, form)
    except Exception as problem:  # noqa: BLE001  (any failure is a finding)
        return failures(one, form, problem)
    found = []
    for name, expected in one.expected.items():
        contact = differs(expected, got[name])
        if contact is not None:
            found.append(explain(one, name, contact, form))
        elif [not a for a in got[name]] != got[f"{name}_not"]:
            found.append(f"seed {one.seed}: `not` of this rule is not the other contacts\n{one.texts[name]}")
    return found


def failures(one: Batch, form: str, problem: Exception) -> list[str]:
    """Which single rules fail (the first few of them); if none does, the failure as a whole."""
    found: list[str] = []
    for name in one.rules:
        if len(found) == 5:
            break
        needed = with_references(one.rules, name)
        try:
            got = ask(one.data, {n: one.texts[n] for n in needed}, form)
        except Exception as single:  # noqa: BLE001
            found.append(explain_failure(one, name, form, single))
        else:
            contact = differs(one.expected[name], got[name])
            if contact is not None:
                found.append(explain(one, name, contact, form))
    return found or [f"seed {one.seed}: fails only with all rules together: {problem!r}"]


def with_references(rules: dict[str, lang.Condition], name: str) -> dict[str, lang.Condition]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += lang.segments_named(rules[current])
    return {n: c for n, c in rules.items() if n in found}


# --- the smallest case


def explain(one: Batch, name: str, contact: int, form: str) -> str:
    rules = with_references(one.rules, name)

    def still(data: Dataset, changed: dict[str, lang.Condition]) -> bool:
        expected = answers(changed, data.contacts(), data.clock)[name]
        try:
            got = ask(data, {n: text_of(c) for n, c in changed.items()}, form)[name]
        except Exception:  # noqa: BLE001
            return False
        return differs(expected, got) is not None

    if not still(one.data, rules):
        alone = {n: one.texts[n] for n in rules}
        return (
            f"seed {one.seed}: {name} differs for {one.data.rows[contact]} only as it was spelled, or beside the other rules: {alone}\n"
            f"expected {one.expected[name][contact]}; plain: {text_of(one.rules[name])}"
        )
    data, rules = shrink(one.data, rules, name, still)
    expected = answers(rules, data.contacts(), data.clock)[name]
    got = ask(data, {n: text_of(c) for n, c in rules.items()}, form)[name]
    return case(one.seed, data, rules, form) + f"\n  oracle  {expected}\n  product {got}\n"


def explain_failure(one: Batch, name: str, form: str, problem: Exception) -> str:
    rules = with_references(one.rules, name)

    def complaint(data: Dataset, changed: dict[str, lang.Condition]) -> str | None:
        try:
            ask(data, {n: text_of(c) for n, c in changed.items()}, form)
        except Exception as found:  # noqa: BLE001
            return kind_of(found)
        return None

    if complaint(one.data, rules) != kind_of(problem):
        return f"seed {one.seed}: {name} fails only as it was spelled: {problem!r}\n{problem}\n{one.texts[name]}"
    data, rules = shrink(one.data, rules, name, lambda d, r: complaint(d, r) == kind_of(problem))
    return case(one.seed, data, rules, form) + f"\n  product {type(problem).__name__}: {problem}\n"


def kind_of(problem: Exception) -> str:
    codes = sorted({d.code for d in getattr(problem, "diagnostics", ())})
    return f"{type(problem).__name__} {codes}"


def case(seed: str, data: Dataset, rules: dict[str, lang.Condition], form: str) -> str:
    lines = [f"seed {seed} ({form}); as_of {data.as_of!r}, timezone {data.clock.zone}"]
    lines += [f"  rule {name}: {text_of(condition)}" for name, condition in rules.items()]
    used = {n.name for n in lang.walk(tuple(rules.values())) if isinstance(n, lang.Field)}
    for row in data.rows[:3]:
        lines.append(
            "  contact " + repr({c.name: (c.kind, c.unit, c.zone, row[c.name]) for c in data.columns if c.name in used or c == data.key})
        )
    lines += [
        f"  event of {table.event or table.name}, at {table.column(table.at)}: {row!r}" for table in data.tables for row in table.rows[:4]
    ]
    return "\n".join(lines)


def shrink(
    data: Dataset, rules: dict[str, lang.Condition], name: str, still: Callable[[Dataset, dict[str, lang.Condition]], bool]
) -> tuple[Any, Any]:
    """Fewer contacts and events and a shorter rule, as long as `still` says so."""
    budget = 250

    def ok(d: Dataset, r: dict[str, lang.Condition]) -> bool:
        nonlocal budget
        budget -= 1
        return budget > 0 and still(d, r)

    data = next((one for i in range(len(data.rows)) if ok(one := data.only(i), rules)), data)
    improved = True
    while improved and budget > 0:
        improved = False
        for candidate in smaller(rules[name]):
            changed = with_references(rules | {name: candidate}, name)
            if ok(data, changed):
                rules, improved = changed, True
                break
    for index in range(len(data.tables)):
        size = max(1, len(data.tables[index].rows) // 2)
        while size:
            start = 0
            while start < len(data.tables[index].rows):
                table = data.tables[index]
                less = replace(table, rows=table.rows[:start] + table.rows[start + size :])
                fewer = replace(data, tables=(*data.tables[:index], less, *data.tables[index + 1 :]))
                if less.rows and ok(fewer, rules):
                    data = fewer
                else:
                    start += size
            size //= 2
    return data, rules


def smaller(node: Any) -> Iterator[Any]:
    """Every tree with one part left out or replaced by a part of it of the same sort."""
    if isinstance(node, tuple):
        for i, item in enumerate(node):
            if len(node) > 1 or isinstance(item, lang.Condition):
                yield node[:i] + node[i + 1 :]
            yield from ((*node[:i], less, *node[i + 1 :]) for less in smaller(item))
    elif isinstance(node, lang.Window):
        yield from (replace(node, **{f.name: None}) for f in dataclasses.fields(node) if getattr(node, f.name) is not None)
    elif isinstance(node, lang.Node):
        sort = lang.Condition if isinstance(node, lang.Condition) else lang.Value
        outside = not isinstance(node, lang.Did | lang.Aggregate | lang.ActivePeriods)
        for part in children(node):
            if outside and isinstance(part, sort) and (sort is lang.Condition or part.type == node.type):
                yield part
        for field in dataclasses.fields(node):  # type: ignore[arg-type]
            part = getattr(node, field.name)
            if field.name in ("conditions", "items") and len(part) == 1:
                continue
            if field.name == "steps":  # steps go by their places: each only becomes simpler
                yield from (replace(node, steps=(*part[:i], less, *part[i + 1 :])) for i, item in enumerate(part) for less in smaller(item))
                continue
            if isinstance(node, lang.AtLeast) and field.name == "conditions" and len(part) <= node.number:
                continue
            if isinstance(node, lang.Call) and field.name == "arguments":
                shorter = (
                    (*part[:i], less, *part[i + 1 :]) for i, item in enumerate(part) for less in smaller(item) if less.type == item.type
                )
            elif isinstance(part, tuple | lang.Node | lang.Window):
                shorter = smaller(part)
            else:
                continue
            yield from (replace(node, **{field.name: less}) for less in shorter)  # type: ignore[type-var]


def children(node: Any) -> Iterator[Any]:
    for field in dataclasses.fields(node):
        part = getattr(node, field.name)
        yield from part if isinstance(part, tuple) else (part,)
