"""The documentation says what is so: generated parts, links, paths, commands, examples of rules."""

from __future__ import annotations

import importlib
import random
import re
import sys
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from ruamel.yaml import YAML

from docs import generate
from segmentry import Events, Workspace, evaluate
from segmentry.cli import cli
from segmentry.cli_sync import sync
from segmentry.engine.config_activation import SyncConfig
from segmentry.engine.connectors.destination import Verdict
from segmentry.engine.connectors.syncing import Action, Change, Notes, SyncBatch, SyncDestination, Target
from segmentry.rules.builder import parse_builder
from segmentry.rules.checker import check
from segmentry.rules.functions import FUNCTIONS
from segmentry.rules.parse import parse_text
from segmentry.rules.schema import EventTable, Schema
from segmentry.rules.types import DATE, TEXT, TIMESTAMP, exact, list_of, struct_of
from tests.connectors.conftest import context, nothing

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
TEXTS = dict.fromkeys(("location", "status", "source", "email"), TEXT)
SHOP = Schema(
    fields={
        **TEXTS,
        "activity_count": exact(10),
        "date_added": TIMESTAMP,
        "birthday": DATE,
        "tags": list_of(TEXT),
        "address": struct_of({"city": TEXT}),
        "items": list_of(struct_of({"price": exact(9)})),
    },
    events=(
        EventTable("events", {"at": TIMESTAMP, "event": TEXT, "form_id": TEXT}, names=frozenset({"form_submitted"})),
        EventTable("orders", {"at": TIMESTAMP, "amount": exact(12, 2), "coupon": TEXT, "cart_id": TEXT}, event="order_placed"),
        EventTable("carts", {"at": TIMESTAMP, "cart_id": TEXT}, event="cart_added"),
    ),
    segments=frozenset({"vip", "staff"}),
)
RULES = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", generate.FILES)
def test_generated_parts_are_what_the_code_says(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == generate.generated(text), "run `make docs`"


def test_every_generated_part_stands_somewhere() -> None:
    parts = [
        found["name"] for name in generate.FILES for found in generate.PART.finditer((ROOT / "docs" / name).read_text(encoding="utf-8"))
    ]
    assert sorted(parts) == sorted(generate.PARTS)


def test_every_function_of_this_version_is_documented() -> None:
    for function in FUNCTIONS.values():
        assert f"| `{function.signature}` |" in RULES


@pytest.mark.parametrize("rule", re.findall(r"^```rule\n(.*?)^```", RULES, re.MULTILINE | re.DOTALL))
def test_examples_of_rules_are_rules(rule: str) -> None:
    check(parse_text(rule), SHOP)


@pytest.mark.parametrize("line", re.findall(r"^\| [^|`]+ \| (`.*`) \|$", RULES[: RULES.index("## Missing values")], re.MULTILINE))
def test_rules_in_the_first_table_are_rules(line: str) -> None:
    for rule in re.findall(r"`([^`]+)`", line):
        check(parse_text(rule), SHOP)


@pytest.mark.parametrize(("rule", "told"), re.findall(r"^\| `(.*)` \| (`R9.*) \|$", RULES, re.MULTILINE))
def test_what_is_certain_of_a_rule_is_said_as_documented(rule: str, told: str) -> None:
    [warning] = check(parse_text(rule), SHOP, source=rule)[1]
    assert told == f"`{warning.code}` {warning.message} | {warning.notes[0]}"


@pytest.mark.parametrize(
    "rule", re.findall(r"^\| [^|`]+ \| `(.*)` \|$", RULES[RULES.index("### Behaviour in words") : RULES.index("## Segments")], re.MULTILINE)
)
def test_rules_for_behaviour_are_rules(rule: str) -> None:
    check(parse_text(rule), SHOP)


ELSEWHERE = RULES[RULES.index("## Coming from SQL") : RULES.index("## Limits")]
IN_SQL, ELSEWHERE_SAID = ELSEWHERE[: ELSEWHERE.index("**From Klaviyo")], ELSEWHERE[ELSEWHERE.index("**From Klaviyo") :]


@pytest.mark.parametrize("rule", re.findall(r"^\| [^|]+ \| `(.*)` \|$", ELSEWHERE_SAID, re.MULTILINE))
def test_what_other_products_say_is_a_rule_here(rule: str) -> None:
    check(parse_text(rule), SHOP)


@pytest.mark.parametrize(("query", "rule"), re.findall(r"^\| `(.*)` \| `(.*)` \|$", IN_SQL, re.MULTILINE))
def test_sql_and_the_rule_beside_it_find_the_same_contacts(query: str, rule: str) -> None:
    places, counts = ["UK", "FR", "US", None], [1, 3, 4, 7, None]
    both = list(product(places, counts))
    people = pl.DataFrame(
        {
            "id": list(range(len(both))),
            "location": [place for place, _ in both],
            "activity_count": [count for _, count in both],
            "email": [None if number % 7 == 0 else f"p{number}@{('GMAIL.com', 'x.io')[number % 2]}" for number in range(len(both))],
        }
    )
    draw = random.Random(5)
    rows = [
        (who, day, draw.choice([50, 80, 120]), draw.choice(["A", None])) for who in range(0, len(both), 2) for day in range(1, 1 + who % 5)
    ]
    orders = pl.DataFrame(rows, schema=["contact", "day", "amount", "coupon"], orient="row").with_columns(
        at=pl.datetime(2026, 3, pl.col("day"), time_zone="UTC"), event=pl.lit("order_placed")
    )
    with duckdb.connect() as connection:
        connection.register("contacts", people.to_arrow())
        connection.register("orders", orders.to_arrow())
        expected = {row[0] for row in connection.execute(f"select id from contacts where {query}").fetchall()}
    events = Events(orders.drop("day"), contact="contact")
    found = evaluate({"r": rule}, contacts=people, key="id", events=events, as_of=datetime(2026, 3, 31, tzinfo=UTC)).to_polars()
    assert set(found.filter("r")["id"]) == expected
    assert 0 < len(expected) < len(both)


def test_the_sequences_that_are_shown_find_whom_they_say() -> None:
    table = RULES[RULES.index("| contact | `a` |") :]
    head, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[: table.index("\n\n")].splitlines()]
    rows = [
        {"contact_id": int(line[0]), "event": name, "at": datetime(2026, 3, int(day), tzinfo=UTC)}
        for line in lines
        for name, days in zip("abc", line[1:4], strict=True)
        for day in days.split(",")
        if day
    ]
    rules = {str(number): text.strip("`") for number, text in enumerate(head) if number > 3}
    contacts = pl.DataFrame({"id": [int(line[0]) for line in lines]})
    found = evaluate(rules, contacts=contacts, key="id", events=Events(pl.DataFrame(rows)), as_of=datetime(2026, 3, 31, tzinfo=UTC))
    expected = {number: [line[int(number)] == "yes" for line in lines] for number in rules}
    assert len(expected) == 5
    assert found.to_polars().drop("id").to_dict(as_series=False) == expected


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(.*?)^```", RULES, re.MULTILINE | re.DOTALL))
def test_examples_of_the_builder_form_are_rules(text: str) -> None:
    check(parse_builder(YAML(typ="safe").load(text)), SHOP)


WORKED = [YAML(typ="safe").load(text) for text in re.findall(r"^```worked\n(.*?)^```", RULES, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("example", WORKED, ids=lambda example: next(iter(example["members"])))
def test_worked_examples_come_out_as_they_say(example: dict[str, Any]) -> None:
    events = {
        name: Events(pl.DataFrame(rows, infer_schema_length=None), contact="contact", at="at")
        for name, rows in example.pop("events", {}).items()
    }
    contacts, members = pl.DataFrame(example.pop("contacts"), infer_schema_length=None), example.pop("members")
    found = evaluate({rule: rule for rule in members}, contacts=contacts, key="id", events=events, **example)
    assert {rule: found.members(rule).to_list() for rule in members} == members


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_that_are_named_exist(path: Path) -> None:
    named = re.findall(r"`((?:segmentry|tests|docs|benchmarks|examples)/[\w./]*)`", path.read_text(encoding="utf-8"))
    for target in named:
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_are_shown_exist(path: Path) -> None:
    for name in re.findall(r"^\$ segmentry ([a-z]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
        assert name in cli.commands, name
    for name in re.findall(r"`make ([a-z-]+)", path.read_text(encoding="utf-8")):
        assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), name


def test_the_first_screen_says_why_the_rooms_are_inside_the_package() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:45])
    assert "`rules/`" in first_screen
    assert "`engine/`" in first_screen
    assert "make demo" in first_screen
    assert "make test" in first_screen


def test_every_dependency_has_its_reason() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").lower()
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = pyproject[pyproject.index("dependencies = [") : pyproject.index("[project.scripts]")]
    for name in re.findall(r'"([a-z0-9.-]+)[>=\[]', block):
        assert f"`{name}`" in contributing, name


CONNECTORS = (ROOT / "docs" / "connectors.md").read_text(encoding="utf-8")
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
SYNCS = (ROOT / "docs" / "syncs.md").read_text(encoding="utf-8")


def test_what_is_written_of_syncs_can_stand_in_a_workspace(tmp_path: Path) -> None:
    workspace, segment, klaviyo, mailchimp = re.findall(r"^```yaml\n(.*?)^```", SYNCS, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"^`(sync: \{.*?\})`", SYNCS, re.MULTILINE)
    assert len(inline) == 2
    lines = [*klaviyo.splitlines(), *mailchimp.splitlines(), 'crm: {type: webhook, url: "https://crm.example/", secrets: ["${S}"]}']
    lines.append("lake: {type: files, path: exports, format: csv}")
    head = f"version: 1\nid: {'0' * 8}-0000-4000-8000-{'0' * 12}\ncontacts: {{path: contacts.csv, key: id, email: email}}\n"
    (tmp_path / "contacts.csv").write_text("id,email,first_name,tier,lifetime_value,email_consent\n1,a@x.example,Ada,gold,600,true\n")
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments" / "vip.yml").write_text(segment)
    check_workspace(tmp_path, head + workspace)
    for name, text in enumerate(inline):
        (tmp_path / "segments" / f"inline_{name}.yml").write_text(f"where: lifetime_value >= {name}\n{text}\n")
    check_workspace(tmp_path, head + "destinations:\n" + "".join(f"  {line}\n" for line in lines))


def check_workspace(root: Path, text: str) -> None:
    """Raises whatever is wrong with a workspace of this text."""
    (root / "segmentry.yml").write_text(text)
    Workspace.open(root).check()


@pytest.mark.parametrize("name", sorted(sync.commands))
def test_what_people_say_of_syncs_is_told(name: str) -> None:
    assert f"| `sync {name}" in SYNCS


@pytest.mark.parametrize("name", [field.alias or name for name, field in SyncConfig.model_fields.items()])
def test_every_key_of_a_sync_is_told(name: str) -> None:
    assert f"| `{name}` |" in SYNCS


def test_the_connector_that_is_shown_keeps_a_list_in_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, further, *_ = re.findall(r"^```python\n(.*?)^```", CONNECTORS, re.MULTILINE | re.DOTALL)
    top, _, rest = package.partition("from __future__ import annotations\n")
    (tmp_path / "segmentry_spool.py").write_text(top + "from __future__ import annotations\n" + rest + further)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("segmentry_spool")
    try:
        lists = module.Lists.open("spool", module.ListSettings(type="spool", path="spool", token="t"), context(tmp_path))
        check_lists(lists)
    finally:
        del sys.modules["segmentry_spool"]


def check_lists(lists: SyncDestination) -> None:
    """A list by its whole way: who comes, changes, goes, was taken out there; and a removal whose answer was lost."""
    vip = Target("list", "vip")

    def told(action: Action, *contacts: str, notes: Notes | None = None) -> list[Verdict]:
        changes = tuple(Change(f"{action}-{one}", one, None, None, {"tier": action}, {}) for one in contacts)
        return [answer.verdict for answer in lists.sync(SyncBatch("b", "vip", vip, action, NOW, changes), nothing, notes or Notes())]

    assert told(Action.ADD, "1", "2") == [Verdict.SENT, Verdict.SENT]
    assert told(Action.UPDATE, "1", "3") == [Verdict.SENT, Verdict.LEFT]
    assert {one.contact for page in lists.members(vip) for one in page} == {"1", "2"}
    assert (lists.look(vip).members, [place.id for place in lists.places()]) == (2, ["vip"])
    lost = Notes()
    assert told(Action.REMOVE, "1", "3", notes=lost) == [Verdict.SENT, Verdict.LEFT]
    assert told(Action.REMOVE, "1", notes=lost) == [Verdict.SENT]
    assert told(Action.REMOVE, "1") == [Verdict.LEFT]
