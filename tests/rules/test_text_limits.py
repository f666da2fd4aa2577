"""The limits, each at its edge; and that reading is linear work, at any depth of the caller's own stack, from any thread."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlglot import exp

from segmentry.errors import RuleError
from segmentry.rules import parse
from segmentry.rules.builder import parse_builder, to_builder
from segmentry.rules.lower import lower
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text
from segmentry.rules.syntax import And, Not, Or

NESTED = {
    "brackets": lambda depth: "(" * depth + "a" + ")" * depth,
    "calls": lambda depth: "f(" * depth + "a" + ")" * depth,
    "calls after an argument": lambda depth: "f(x, " * depth + "a" + ", y)" * depth,
    "keyword arguments": lambda depth: "f(k => " * depth + "a" + ")" * depth,
    "not": lambda depth: "not " * depth + "a",
    "minus": lambda depth: "a = " + "- " * depth + "b",
    "not and brackets": lambda depth: "not (" * (depth // 2) + "a" + ")" * (depth // 2) + " or b",
    "lists": lambda depth: "a in (" * depth + "1" + ")" * depth,
    "and in or": lambda depth: "a and (b or (" * (depth // 2) + "a" + "))" * (depth // 2),
    "brackets on the right": lambda depth: "a + (" * depth + "b" + ")" * depth + " = 1",
}


def codes(text):
    with pytest.raises(RuleError) as raised:
        parse_text(text)
    return [problem.code for problem in raised.value.diagnostics]


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
def test_nesting_of_a_hundred_is_read_and_no_more(nested):
    tree = parse_text(nested(100))
    assert parse_text(to_text(tree)) == tree
    assert codes(nested(102)) == ["R703"]


def test_what_stands_side_by_side_does_not_nest():
    for flat in ("not a and " * 400, "f(-1, not x) and " * 200, "(a) and " * 500, "-a * -b + -c > 1 and " * 200):
        parse_text(flat + "a")


def test_a_thousand_conditions_are_read_and_no_more():
    for condition, word in (("a = 1", "and"), ("a", "or"), ("f()", "and"), ("a is set", "or"), ("not a", "and")):
        tree = parse_text(f" {word} ".join([condition] * 1_000))
        assert isinstance(tree, And if word == "and" else Or)
        assert len(tree.items) == 1_000
        assert codes(f" {word} ".join([condition] * 1_001)) == ["R702"]
    inside = ", ".join(["a = 1"] * 1_001)
    assert codes(f"at_least(2, {inside})") == ["R702"]


def test_five_thousand_tokens_are_read_and_no_more():
    sum_of = "a" + " + a" * 2_498
    assert parse_text(sum_of + " > 1").op == ">"  # 4,999
    values = ", ".join(["1"] * 2_498)
    parse_text(f"a in ({values})")
    assert codes(f"a in ({values}, 1, 1)") == ["R701"]
    assert codes("(" * 5_001) == ["R701"]


def test_64_kib_are_read_and_no_more():
    room = 64 * 1024 - len("a = ''")
    parse_text(f"a = '{'x' * room}'")
    assert codes(f"a = '{'x' * (room + 1)}'") == ["R700"]
    assert codes(f"a = '{'é' * (room // 2 + 1)}'") == ["R700"]


def calls(text):
    """How many functions are called to read a text."""
    count = 0

    def called(frame, event, argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(called)
    try:
        parse_text(text)
    finally:
        sys.setprofile(None)
    return count


GROWING = {
    "and": lambda size: " and ".join(["a = 1"] * size),
    "or of and": lambda size: " or ".join(["a = 1 and b"] * (size // 2)),
    "sum": lambda size: " + ".join(["a"] * size) + " > 1",
    "values": lambda size: f"a in ({', '.join(['1'] * size)})",
    "arguments": lambda size: f"f({', '.join(['a = 1'] * size)})",
    "calls": lambda size: " and ".join(["did(a, b = 1, last => '1 day')"] * (size // 4)),
    "brackets": lambda size: " and ".join(["((a))"] * size),
    "names": lambda size: "a." * size + "a = 1",
}


@pytest.mark.parametrize("growing", GROWING.values(), ids=GROWING)
def test_reading_twice_the_text_is_twice_the_work(growing):
    calls(growing(8))
    once, twice = calls(growing(200)), calls(growing(400))
    assert twice <= 2.1 * once


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
def test_reading_twice_the_depth_is_twice_the_work(nested):
    calls(nested(8))
    once, twice = calls(nested(40)), calls(nested(80))
    assert twice <= 2.1 * once


def test_a_deep_caller_can_read_and_print_a_deep_rule():
    text = "a or b and (" * 100 + "a or b" + ")" * 100

    def read_and_print(frames):
        if frames:
            return read_and_print(frames - 1)
        tree = parse_text(text)
        return to_text(tree), to_text(parse_builder(to_builder(tree)))

    before = sys.getrecursionlimit()
    printed = read_and_print(before - sum(1 for _ in iterate_frames()) - 60)
    assert [said.replace("\n", " ") for said in printed] == [text, text]
    assert sys.getrecursionlimit() == before


def iterate_frames():
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def test_threads_read_at_once():
    texts = [nested(100) for nested in NESTED.values()] * 4
    before = sys.getrecursionlimit()
    with ThreadPoolExecutor(8) as pool:
        trees = list(pool.map(parse_text, texts))
    assert trees == [parse_text(text) for text in texts]
    assert sys.getrecursionlimit() == before


def test_a_node_of_another_language_is_a_diagnostic():
    foreign = exp.And(this=exp.column("0", quoted=True), expression=exp.Case(ifs=[exp.If(this=exp.column("0"), true=exp.Star())]))
    with pytest.raises(RuleError) as raised:
        lower(foreign, [Not(parse_text("a"))], "a")
    assert {problem.code for problem in raised.value.diagnostics} == {"R111"}


def test_whatever_the_parser_raises_is_a_diagnostic(monkeypatch):
    class Broken:
        def parser(self, **_):
            raise AssertionError("a foreign parser may raise anything")

    monkeypatch.setattr(parse, "_DUCKDB", Broken())
    parse.parse_text.cache_clear()  # a rule that was parsed before is not parsed again
    assert codes("a = 1") == ["R119"]
