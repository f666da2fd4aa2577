"""Bad rules and what is said about them: `gallery/*.txt` holds a rule, a line `---`, and the rendered diagnostics.

Adding a case is adding a file; `REGENERATE=1 pytest tests/rules/test_gallery.py` writes what is said now, for the reviewer to read.
"""

import os
from pathlib import Path

import pytest

from segmentry.errors import RuleError
from segmentry.rules.codes import LIMITS, SYNTAX
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.parse import parse_text

GALLERY = sorted((Path(__file__).parent / "gallery").glob("*.txt"))


def told(rule: str) -> tuple[Diagnostic, ...] | list[Diagnostic]:
    try:
        syntax = parse_text(rule)
        from segmentry.rules.checker import check
        from tests.rules.shop_schema import SHOP

        return check(syntax, SHOP, source=rule)[1]
    except RuleError as error:
        return error.diagnostics


@pytest.mark.parametrize("file", GALLERY, ids=lambda file: file.stem)
def test_what_is_said_about_a_bad_rule(file):
    rule, _, expected = file.read_text(encoding="utf-8").partition("\n---\n")
    rendered = "".join(diagnostic.render() + "\n" for diagnostic in told(rule))
    if os.environ.get("REGENERATE"):
        file.write_text(f"{rule}\n---\n{rendered}", encoding="utf-8")
    assert rendered == expected


def test_every_syntax_code_has_a_picture():
    of_text = {code for code in SYNTAX if code < "R119"} | {"R703"}
    shown = {line[6:10] for file in GALLERY for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("error[")}
    assert of_text - shown == set()
    assert all(code in SYNTAX or code in LIMITS for code in shown if code < "R200" and code != "R103")
