from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from segmentry.engine.formatting import Outcome, format_segment
from segmentry.errors import RuleError
from segmentry.rules.parse import parse_text

LONG = " AND ".join(f"field_number_{n}='a value'" for n in range(8))

CHANGED = {
    "plain": ("label: x # why\nwhere: a=1   # the rule\nenroll: y\n", 'label: x # why\nwhere: "a = 1"   # the rule\nenroll: y\n'),
    "double": ("where: \"a='UK'\"\n", "where: \"a = 'UK'\"\n"),
    "single": ("where: 'a=1 AND b'\n", 'where: "a = 1 and b"\n'),
    "folded": ("where: >\n  a=1\n  and b\n\n# after\nlabel: x\n", 'where: "a = 1 and b"\n\n# after\nlabel: x\n'),
    "literal": ("where: |\n  a=1\n  and b\nlabel: x\n", 'where: "a = 1 and b"\nlabel: x\n'),
    "quoted name": ("where: '\"a.b\"=1'\nlabel: x\n", 'where: >\n  "a.b" = 1\nlabel: x\n'),
    "no newline at the end": ("where: a=1", 'where: "a = 1"'),
    "key order and odd spacing": ("label:   x\nwhere:    a=1\n", 'label:   x\nwhere:    "a = 1"\n'),
}


@pytest.mark.parametrize("case", CHANGED)
def test_only_the_rule_changes_and_only_once(case):
    before, after = CHANGED[case]
    assert format_segment(before) == (formatted := format_segment(before))
    assert formatted.text == after
    assert formatted.outcome is Outcome.CHANGED
    assert format_segment(after).outcome is Outcome.SAME


def test_a_long_rule_is_folded_and_means_the_same():
    formatted = format_segment(f"label: x\nwhere: {LONG}\nowner: me\n")
    rule = YAML(typ="safe", pure=True).load(formatted.text)["where"]
    assert parse_text(rule) == parse_text(LONG)
    assert formatted.text.startswith("label: x\nwhere: >\n  field_number_0 = 'a value'\n  and field_number_1")
    assert formatted.text.endswith("\nowner: me\n")
    assert max(map(len, formatted.text.splitlines())) <= 100


@pytest.mark.parametrize(
    "source",
    [
        "where: >\n  a = 1\n  and b = 2\n",
        "where: \"name = 'a  b'\"\n",
        "where: |\n  a = 1\n  and b = 2\n",
    ],
)
def test_canonical_rules_stay_however_their_lines_are_broken(source):
    formatted = format_segment(source)
    assert (formatted.text, formatted.outcome) == (source, Outcome.SAME)


@pytest.mark.parametrize("rule", ["status  =  'lead'", "status = 'lead'   and location = 'a  b'"])
def test_needless_spaces_on_one_line_go(rule):
    found = format_segment(f'where: "{rule}"\n')
    assert found.outcome is Outcome.CHANGED
    assert found.text == 'where: "' + rule.replace("  =  ", " = ").replace("   and", " and") + '"\n'
    assert format_segment(found.text).outcome is Outcome.SAME


def test_rules_with_comments_stay():
    source = "where: |\n  a=1 -- because\n  and b\n"
    formatted = format_segment(source)
    assert (formatted.text, formatted.outcome) == (source, Outcome.COMMENTS)


@pytest.mark.parametrize(
    "source", ["rules:\n  - {field: a,operator: equals,value: 1}\n", "list: lists/x.csv\n", "- not a mapping\n", "", "where: [\n"]
)
def test_files_without_a_rule_as_text_stay(source):
    formatted = format_segment(source)
    assert (formatted.text, formatted.outcome) == (source, Outcome.NO_TEXT)


@pytest.mark.parametrize(
    "literal", ["it''s", 'say "x"', "back\\slash", "tab\there", "line\nbreak", "é ✓", "# no comment", ": colon", "a  b", "x\u2028y"]
)
def test_no_literal_is_lost(literal):
    rule = f"name='{literal}'"
    source = YAML(typ="safe", pure=True)
    import json

    formatted = format_segment("where: " + json.dumps(rule) + "\n")
    assert parse_text(source.load(formatted.text)["where"].strip()) == parse_text(rule)
    assert format_segment(formatted.text).outcome is Outcome.SAME


def test_a_wrong_rule_is_told():
    with pytest.raises(RuleError):
        format_segment("where: a = = 1\n")
