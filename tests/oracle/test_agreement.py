"""The product agrees with the row-by-row oracle on random rules over random data, and keeps its promises about both."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.oracle.agreement import Batch, batch, disagreements
from tests.oracle.datasets import Dataset
from tests.oracle.printer import builder_of, text_of
from tests.oracle.product import ask, with_extremes

PER_BATCH = 50
FULL_PARTS = 40
FULL_PER_BATCH = 100
FULL_BATCHES_EACH = 13  # 40 x 13 x 100 = 52,000 pairs


def report(found: list[str]) -> str:
    return f"{len(found)} disagreements\n" + "\n".join(found[:5])


@pytest.mark.parametrize("number", range(6))
def test_it_agrees_with_the_oracle(seed: int, number: int):
    found = disagreements(batch(f"{seed}:{number}", PER_BATCH))
    assert not found, report(found)


@pytest.mark.full
@pytest.mark.parametrize("part", range(FULL_PARTS))
def test_it_agrees_with_the_oracle_on_fifty_thousand_pairs(seed: int, part: int):
    found: list[str] = []
    for number in range(FULL_BATCHES_EACH):
        found += disagreements(batch(f"{seed}:full:{part}:{number}", FULL_PER_BATCH))
        assert len(found) < 20, report(found)
    assert not found, report(found)


@pytest.fixture(scope="module")
def worlds(request: pytest.FixtureRequest) -> list[Batch]:
    seed = request.config.getoption("--seed")
    return [batch(f"{seed}:properties:{i}", 30) for i in range(2)]


def plain(one: Batch) -> dict[str, str]:
    return {name: text_of(condition) for name, condition in one.rules.items()}


def changed(before: dict[str, list[bool]], after: dict[str, list[bool]], rules: dict[str, str]) -> list[str]:
    return [rules[name] for name in before if before[name] != after[name]]


def test_not_splits_the_contacts(worlds: list[Batch]):
    for one in worlds:
        rules = plain(one)
        got = ask(one.data, rules | {f"{name}_not": f"not ({text})" for name, text in rules.items()})
        wrong = [rules[name] for name in rules if any(a is b for a, b in zip(got[name], got[f"{name}_not"], strict=True))]
        assert not wrong


def test_the_order_of_rows_does_not_matter(worlds: list[Batch]):
    draw = random.Random(1)
    for one in worlds:
        rules = plain(one)
        order = list(range(len(one.data.rows)))
        draw.shuffle(order)
        tables = tuple(replace(t, rows=tuple(draw.sample(t.rows, len(t.rows)))) for t in one.data.tables)
        shuffled: Dataset = replace(one.data, rows=tuple(one.data.rows[i] for i in order), tables=tables)
        before, after = ask(one.data, rules), ask(shuffled, rules)
        assert not changed({n: [a[i] for i in order] for n, a in before.items()}, after, rules)


@pytest.mark.parametrize("form", ["chunked", "polars", "parquet"])
def test_how_the_rows_are_held_does_not_matter(worlds: list[Batch], form: str, tmp_path):
    for one in worlds:
        rules = plain(one)
        assert not changed(ask(one.data, rules), ask(one.data, rules, form, tmp_path), rules)


def test_the_chunks_of_contacts_do_not_matter(worlds: list[Batch], monkeypatch: pytest.MonkeyPatch):
    from segmentry.engine import membership

    for one in worlds:
        rules = plain(one)
        before = ask(one.data, rules)
        with monkeypatch.context() as patch:
            patch.setattr(membership, "CHUNK_ROWS", 7)
            assert not changed(before, ask(one.data, rules), rules)


def test_arrays_and_groups_of_events_agree(worlds: list[Batch], monkeypatch: pytest.MonkeyPatch):
    """One rule at a time, since a table's events are added up in arrays only where all that is asked of it can be."""
    from segmentry.engine import dense
    from segmentry.engine.scatter import Scatter

    made: list[int] = []
    begin = Scatter.__init__
    monkeypatch.setattr(Scatter, "__init__", lambda self, targets, size: (made.append(size), begin(self, targets, size))[1])
    for one in worlds:
        rules = [
            text for text in plain(one).values() if any(word in text for word in ("did(", "count(", "sum(", "avg(", "first(", "last("))
        ]
        for text in [text for text in rules if "member(" not in text][:12]:
            before = ask(one.data, {"rule": text})
            with monkeypatch.context() as patch:
                patch.setattr(dense, "FEWEST_ROWS", 0)
                patch.setattr(dense, "FEWEST_CONTACTS", 0)
                patch.setattr(dense, "ROWS_PER_CONTACT", 0.0)
                assert ask(one.data, {"rule": text}) == before, text
    assert made


def test_conditions_by_row_and_of_a_table_agree(worlds: list[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also those beside events, which are asked of tables still."""
    from segmentry.engine import by_row
    from segmentry.engine.evaluation import Evaluation

    asked: list[int] = []
    read = Evaluation._read_keys
    monkeypatch.setattr(Evaluation, "_read_keys", lambda self: (read(self), asked.append(self.counters.by_row))[0])
    for one in worlds:
        rules = plain(one)
        before = ask(one.data, rules, "parquet", tmp_path)
        alone = [{"rule": text} for text in rules.values() if "member(" not in text][:6]
        answers = [ask(one.data, rule, "parquet", tmp_path) for rule in alone]
        assert not any(asked)
        with monkeypatch.context() as patch:
            patch.setattr(by_row, "FEWEST_BY_ROW", 0)
            assert not changed(before, ask(one.data, rules, "parquet", tmp_path), rules)
            assert [ask(one.data, rule, "parquet", tmp_path) for rule in alone] == answers
        assert any(asked)
        asked.clear()


def test_no_instant_or_date_ends_a_run(worlds: list[Batch], draws: random.Random):
    """Not the first or last that a file can hold, nor those that stand for infinity; `not` still splits the contacts."""
    for one in worlds:
        rules = plain(one)
        doubled = rules | {f"{name}_not": f"not ({text})" for name, text in rules.items()}
        got = ask(one.data, doubled, change=lambda table: with_extremes(table, draws))
        assert not [rules[name] for name in rules if any(a is b for a, b in zip(got[name], got[f"{name}_not"], strict=True))]


def test_a_rule_alone_is_the_rule_among_others(worlds: list[Batch]):
    for one in worlds:
        rules = plain(one)
        together = ask(one.data, rules)
        for name in list(rules)[:6]:
            if "member(" not in rules[name]:
                assert ask(one.data, {name: rules[name]})[name] == together[name], rules[name]


def test_text_builder_text_keeps_the_meaning(worlds: list[Batch]):
    from segmentry.rules.builder import parse_builder, to_builder
    from segmentry.rules.parse import parse_text
    from segmentry.rules.printer import to_text

    for one in worlds:
        rules = plain(one)
        builders = {name: to_builder(parse_text(text)) for name, text in rules.items()}
        there_and_back = {name: to_text(parse_builder(mapping)) for name, mapping in builders.items()}
        before = ask(one.data, rules)
        assert not changed(before, ask(one.data, builders), rules)
        assert not changed(before, ask(one.data, there_and_back), rules)


def test_formatted_text_keeps_the_meaning(worlds: list[Batch]):
    from segmentry.rules.parse import parse_text
    from segmentry.rules.printer import to_text

    for one in worlds:
        rules = plain(one)
        spelled = {name: text for name, text in one.texts.items() if isinstance(text, str)} | {
            name: rules[name] for name, text in one.texts.items() if not isinstance(text, str)
        }
        formatted = {name: to_text(parse_text(text)) for name, text in spelled.items()}
        assert {name: to_text(parse_text(text)) for name, text in formatted.items()} == formatted
        assert not changed(ask(one.data, rules), ask(one.data, formatted), rules)


def test_the_builder_form_means_what_the_text_means(worlds: list[Batch]):
    draw = random.Random(2)
    for one in worlds:
        rules = plain(one)
        builders = {name: builder_of(condition, draw) for name, condition in one.rules.items()}
        assert not changed(ask(one.data, rules), ask(one.data, builders), rules)
