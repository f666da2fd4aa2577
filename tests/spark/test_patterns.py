"""Patterns of RE2 in Java's words: the same texts match."""

from __future__ import annotations

from typing import Any

import pytest

from segmentry.engine.lowering.java_regex import java_pattern
from segmentry.engine.lowering.operations import NotExpressible

TRANSLATED = {
    "^a.b$": r"\Aa[^\n]b\z",
    "(?i)x": "(?iu)x",
    "(?i)id": "(?iu)(?-iu:[iI])d",
    "(?s).": r"(?-iu)[\s\S]",
    "(?m)^a$": r"(?-iu)(?<![^\n])a(?![^\n])",
    r"\bno\b": r"(?:(?<=\w)(?!\w)|(?<!\w)(?=\w))no(?:(?<=\w)(?!\w)|(?<!\w)(?=\w))",
    r"\s\v": r"[\t\n\f\r ]\x{B}",
    r"a{,2}": r"a\x{7B}\x{2C}2\x{7D}",
    r"a{2,}?": "a{2,}",
    r"(?P<x>a)(b)": "(?:a)(?:b)",
    r"\Qa.b\E": r"a\x{2E}b",
    r"[[:alpha:]&&]": r"[\p{Alpha}\x{26}\x{26}]",
    r"[^]a-]": r"[^\x{5D}a\x{2D}]",
}

REFUSED = [r"(?i)\pL", r"\p{Greek}", r"(?i)[İ]", "(?U)a*", r"(?i)[[:upper:]]", r"[\S]"]

PATTERNS = [
    "a", "^a", "a$", "^$", ".", "^.$", "(?s)^.$", "(?m)^b$", "(?i)straße", "(?i)STRASSE", "(?i)i",
    "(?i)^[a-z]+$", "(?i)^[^a-z]$", "(?i)k",
    "(?i)σ", "(?i)[s]", r"\d+", r"\D", r"^\w+$", r"\W", r"^\s$", r"^\S+$", r"\bb", r"a\b", r"\Bb",
    "a|b", "(a|b)*c", "a{2}", "a{2,3}$", "{", "a{",
    r"\.", r"[.]", "[a-c]+", "[^a]", "[]]", "[a-]", r"[\]\\]", r"[\d.]+", "[[:digit:]]",
    "[[:^alpha:]]|^$", r"\pL", r"^\p{Lu}", r"\PL", r"^\P{L}+$",
    r"\x41", r"\x{1F600}", r"\t", r"\n", r"\v", "é", "^[é-ü]+$", "(?i)É", "(?-i)a", "(?i:A)b",
    "((?i)A)b", "a*?b", "a??", r"\Qa.\E", "😀", "^..$",
    r"\A.*\z", "&&", "[&&]", "[a&&b]", "#", "a b", r"\101", "(?i)ı", "(?i)İ",
]  # fmt: skip

TEXTS = [
    "a", "A", "b", "ab", "aab", "aaab", "a\nb", "b\n", "\n", "\r", "\u2028", "a.", "a.b",
    "STRASSE", "straße", "STRAẞE", "i", "I", "İ", "ı", "k", "K",
    "\u212a", "s", "ſ", "σ", "ς", "Σ", "1", "١", "12.5", " ", "\u00a0", "\x0b", "\t", "é", "É",
    "e\u0301", "ü", "😀", "a😀", "{", "a{", "]", "-", "\\",
    "&", "&&", "#", "a b", "a_b", "_", "abc", "ç", "ñandú", "aé", "éa", "ab c", "…", "Ⅷ", "ⅷ",
]  # fmt: skip


@pytest.mark.parametrize("pattern", TRANSLATED)
def test_it_is_written_anew(pattern: str):
    assert java_pattern(pattern) == TRANSLATED[pattern]


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_has_no_translation_is_refused(pattern: str):
    with pytest.raises(NotExpressible) as refused:
        java_pattern(pattern)
    assert refused.value.code == "X102"
    assert pattern in str(refused.value)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_the_same_texts_match_in_spark(spark: Any):
    re2 = pytest.importorskip("re2")
    said = []
    for pattern in PATTERNS:
        try:
            said.append((pattern, java_pattern(pattern)))
        except NotExpressible:
            assert "(?i)" in pattern, pattern
    assert len(said) > 60
    rows = [(number, text) for number in range(len(said)) for text in range(len(TEXTS))]
    patterns = spark.createDataFrame([(number, java) for number, (_, java) in enumerate(said)], "number int, java string")
    texts = spark.createDataFrame(list(enumerate(TEXTS)), "text int, words string")
    patterns.crossJoin(texts).createOrReplaceTempView("pairs")
    answers = spark.sql("select number, text, rlike(words, java) as found from pairs").collect()
    found = {(row.number, row.text): row.found for row in answers}
    wrong = [
        (said[number][0], said[number][1], TEXTS[text], found[number, text])
        for number, text in rows
        if found[number, text] != bool(re2.search(said[number][0], TEXTS[text]))
    ]
    assert not wrong
