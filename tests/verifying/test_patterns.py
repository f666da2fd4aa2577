"""The second reading of regular expressions finds what RE2 finds, or refuses to read."""

from __future__ import annotations

import random

import pytest
import re2

from segmentry.verifying.patterns import UnreadPattern, like, regular
from tests.oracle.evaluator import like as as_re2
from tests.oracle.pools import ADDRESSES, LIKES, NUMBERS, PATTERNS, SPACES, WORDS

TEXTS = (*WORDS, *SPACES, *NUMBERS, *ADDRESSES, "", "a\nb", "aaa", "abc-def", "x_y", "[]", "{2}", "a]b", "Straße ſ", "K k")

MORE = (
    "a{2}", "a{2,}b", "(ab){1,2}$", "a{,2}", "{", "a{x}", r"[\d-]", "[^]a]", "[]a]", "[a-]", r"[\]\\]", r"\x41", r"\x{1F600}", "(?i:K)k",
    "(?P<name>a)b", "(?<n>a)", "(?i)[a-z]ſ", "(?i)K", "(?-i)k", "a|b|", "()", "(a|)*c", r"\Ba", r"\bx", r"\Aa", r"c\z", "[[:alpha:]]+$",
    "[[:^digit:]]", "(?m)a$", "(?ms)^.b$", "(?U)a+", "a+?b", "a??b", r"\.", r"\-", r"[\w.]+@", r"\S+@\S+", "(?i)ÅNG", "(?s).", r"\W",
    r"\D$",
    "(?i)σίσυφος", "(?i)ǆ", "(?i)\\w$",
)  # fmt: skip


def found(pattern: str) -> list[bool]:
    return [regular(pattern).finds(text) for text in TEXTS]


@pytest.mark.parametrize("pattern", [*PATTERNS, *MORE])
def test_it_finds_what_re2_finds(pattern: str) -> None:
    try:
        mine = found(pattern)
    except UnreadPattern:
        assert "\\p" in pattern
        return
    assert mine == [re2.search(pattern, text) is not None for text in TEXTS]


def test_random_patterns_find_what_re2_finds(draws: random.Random) -> None:
    pieces = (
        "a",
        "b",
        "k",
        "s",
        "1",
        ".",
        "^",
        "$",
        "\\b",
        "\\w",
        "\\s",
        "[a-c]",
        "[^k]",
        "(",
        ")",
        "|",
        "*",
        "+",
        "?",
        "{1,2}",
        "(?i)",
        "(?:",
    )
    read = 0
    options = re2.Options()
    options.log_errors = False
    for _ in range(800):
        pattern = "".join(draws.choice(pieces) for _ in range(draws.randrange(1, 9)))
        try:
            theirs = re2.compile(pattern, options)
        except re2.error:
            continue
        try:
            mine = regular(pattern)
        except UnreadPattern:
            continue
        texts = ["".join(draws.choice("abkKſs1_ \n") for _ in range(draws.randrange(6))) for _ in range(12)]
        assert [mine.finds(text) for text in texts] == [theirs.search(text) is not None for text in texts], pattern
        read += 1
    assert read > 100


@pytest.mark.parametrize(
    "pattern", ["\\p{Lu}", "\\pN", "\\Qa.b\\E", "\\C", "(?i)[\\x00-\\x{FFFF}]", "(?i)ꙁ", "a**", "(?=a)", "(a", "a)", "[z-a]", "\\"]
)
def test_what_it_does_not_read_it_refuses(pattern: str) -> None:
    with pytest.raises(UnreadPattern):
        regular(pattern)


def test_a_pattern_that_would_take_others_for_ever_takes_one_pass() -> None:
    assert not regular("(a+)+$").finds("a" * 2_000 + "b")
    with pytest.raises(UnreadPattern):
        regular("((a{100}){100}){100}")


@pytest.mark.parametrize("pattern", LIKES)
def test_like_is_what_it_says(pattern: str) -> None:
    assert [like(pattern).finds(text) for text in TEXTS] == [re2.fullmatch(as_re2(pattern), text) is not None for text in TEXTS]
