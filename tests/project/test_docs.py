"""The documentation says what is so: generated parts, links, paths, commands, examples of rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from docs import generate
from segmentry.cli import cli
from segmentry.rules.builder import parse_builder
from segmentry.rules.checker import check
from segmentry.rules.functions import FUNCTIONS
from segmentry.rules.parse import parse_text
from segmentry.rules.schema import EventTable, Schema
from segmentry.rules.types import DATE, TEXT, TIMESTAMP, exact

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
TEXTS = dict.fromkeys(("location", "status", "source", "email"), TEXT)
SHOP = Schema(
    fields={**TEXTS, "activity_count": exact(10), "date_added": TIMESTAMP, "birthday": DATE},
    events=(
        EventTable("events", {"at": TIMESTAMP, "event": TEXT, "form_id": TEXT}, names=frozenset({"form_submitted"})),
        EventTable("orders", {"at": TIMESTAMP, "amount": exact(12, 2), "coupon": TEXT}, event="order_placed"),
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


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(.*?)^```", RULES, re.MULTILINE | re.DOTALL))
def test_examples_of_the_builder_form_are_rules(text: str) -> None:
    check(parse_builder(YAML(typ="safe").load(text)), SHOP)


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
