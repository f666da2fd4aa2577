"""However a rule is mangled, reading it ends in a tree or in a RuleError with places inside the text."""

from random import Random

import pytest

from segmentry.errors import RuleError
from segmentry.rules.codes import LIMITS, SYNTAX
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text
from segmentry.rules.tokens import has_comments
from tests.rules import trees

SNIPPETS = [
    *"""
    ( ) [ ] { } , . ; : ' " ` = == != <> < > <= >= => -> := + - * / % // ** ^ ^@ @> <@ && || | & ~ !~ ! ? $ @ # \\ -- /* */ {# #} {% %}
    $$ E' N' x' 0x 1e 1_ .5 5. 30d and or not in is null set between contains like true false after does at least the last case when end
    select from fetch reset begin union with over filter interval cast as any all exists lambda distinct map struct values did( count(
    last=> 'UK' "x y" 1_000 contact. user-defined é 日本 🎉 \x00 \ud800 \ufeff \u200b""".split(),
    "order\tby",
    "\x0b",
    "\u2028",
]


def mutated(text: str, draws: Random) -> str:
    for _ in range(draws.choice((1, 1, 2, 3, 8))):
        at, to = sorted((draws.randint(0, len(text)), draws.randint(0, len(text))))
        shape = draws.randrange(6)
        if shape == 0:
            text = text[:at] + text[at + draws.randint(1, 3) :]
        elif shape == 1:
            text = text[:at] + draws.choice(SNIPPETS) + text[at:]
        elif shape == 2:
            text = f"{text[:at]} {draws.choice(SNIPPETS)} {text[at:]}"
        elif shape == 3:
            text = text[:at] + text[to:]
        elif shape == 4:
            text = text[:to] + text[at:to] + text[to:]
        else:
            text = (
                text[:at] + chr(draws.choice((draws.randrange(128), draws.randrange(0x300), draws.randrange(0x11_0000)))) + text[at + 1 :]
            )
    return text


def problems(text):
    """What is wrong with a text; nothing, if it is a rule."""
    try:
        tree = parse_text(text)
    except RuleError as error:
        return error.diagnostics
    assert parse_text(to_text(tree)) == tree, text
    return ()


def mangle(draws, count):
    for _ in range(count):
        text = mutated(to_text(trees.condition(draws, draws.randint(0, 3))), draws)
        has_comments(text)
        for problem in problems(text):
            assert problem.code in SYNTAX or problem.code in LIMITS, text
            assert problem.code != "R119", text
            assert problem.place is not None, text
            assert 0 <= problem.place.start <= problem.place.end <= len(text), text
            assert problem.render(), text


def test_mangled_rules(draws):
    mangle(draws, 500)


@pytest.mark.full
def test_many_mangled_rules(draws):
    mangle(draws, 10_000)


def test_every_piece_of_a_rule_by_itself_and_in_pairs(draws):
    for piece in SNIPPETS:
        for text in (piece, f"a {piece}", f"{piece} a", f"a = {piece} b", *(f"{piece} {draws.choice(SNIPPETS)}" for _ in range(3))):
            assert all(problem.code != "R119" for problem in problems(text)), text
