"""What YAML 1.2 says, where it says it, and that no file ends in anything but a document or diagnostics."""

import inspect
import random
import sys
from pathlib import Path

import pytest

from segmentry.engine.scalars import spread
from segmentry.engine.yaml import MAX_BYTES, Document, locate, parse_document, read_document
from segmentry.rules.diagnostics import Diagnostic, Place


def document(text: str) -> Document:
    found, problems = parse_document(text, "segments/vip.yml")
    assert problems == []
    assert found is not None
    return found


def only_problem(text: str) -> Diagnostic:
    _, problems = parse_document(text, "segments/vip.yml")
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("true", True), ("False", False), ("~", None), ("null", None),
        ("", None),
        ("2026-01-31", "2026-01-31"), ("2026-01-31 09:00:00", "2026-01-31 09:00:00"),
        ("12:30", "12:30"), ("010", 10), ("0o10", 8), ("0x1F", 31),
        ("1_000", "1_000"), ("5", 5), ("-5", -5), ("2.50", 2.5), ("1e3", 1000.0), ("'5'", "5"),
        ('"NO"', "NO"), ("'true'", "true"), ("30 days", "30 days"),
        ("${KEY}", "${KEY}"), ("=", "="), ("<<", "<<"), ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)  # fmt: skip
def test_scalars_are_read_as_yaml_1_2(written, value):
    got = document(f"k: {written}\n").value["k"]
    assert got == value
    assert type(got) is type(value)


def test_keys_are_text_as_written():
    assert document("NO: 1\n2024: 2\ntrue: 3\n").value == {"NO": 1, "2024": 2, "true": 3}


def test_a_byte_order_mark_and_carriage_returns_change_no_place():
    path_text = "\ufefflabel: VIP\r\nwhere: >\r\n  a = 1\r\n  and b = 2\r\n"
    found, problems = parse_document(path_text.removeprefix("\ufeff"), "f")
    assert problems == []
    at = locate(found, Diagnostic("R103", "", place=Place(10, 11))).location
    assert (at.line, at.column, at.text, at.width) == (4, 7, "  and b = 2", 1)


def test_the_example_of_the_rule_language(tmp_path):
    text = "label: High-value leads\n\n\n\n\n\nwhere: status = 'lead' and contry = 'UK'\n"
    problem = Diagnostic("R103", "contacts have no field `contry`", place=Place(20, 26), help="did you mean `country`?")
    assert locate(document(text), problem).render() == (
        "error[R103]: contacts have no field `contry`\n"
        "  --> segments/vip.yml:7:28\n"
        " 7 | where: status = 'lead' and contry = 'UK'\n"
        "   |                            ^^^^^^ did you mean `country`?"
    )


FORMS = {
    "plain": "where: a = 'x' and contry = 1\n",
    "plain over lines": "where: a = 'x'\n  and\n  contry = 1\n",
    "single quotes": "where: 'a = ''x'' and contry = 1'\n",
    "double quotes": 'where: "a = \\u0027x\' and \\\n  contry = 1"\n',
    "double quotes over lines": "where: \"a = 'x'\n\n  and contry = 1\"\n",
    "folded": "where: >  # a comment\n  a = 'x'\n  and contry = 1\n",
    "folded, more indented": "where: >\n  a = 'x'\n    and contry = 1\n  or b\n",
    "folded, empty lines": "where: >-\n\n  a = 'x'\n\n  and contry = 1\n\n",
    "literal": "where: |\n  a = 'x'\n  and contry = 1\n",
    "literal, indentation told": "where: |2-\n   a = 'x'\n   and contry = 1\n",
    "anchored": "where: &rule a = 'x' and contry = 1\n",
    "beyond the basic plane": "where: a = '😀é' and contry = 1\n",
    "tabs": "where: |\n  a = 'x'\tand\tcontry = 1\n",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_a_rule_is_located_in_every_way_to_write_a_scalar(text):
    found = document(text)
    start = found.value["where"].index("contry")
    at = locate(found, Diagnostic("R103", "", place=Place(start, start + 6))).location
    lines = text.splitlines()
    assert lines[at.line - 1][at.column - 1 : at.column - 1 + at.width] == "contry"
    assert at.text == lines[at.line - 1].replace("\t", " ")


def test_a_place_at_the_end_is_after_the_last_character():
    for text in ("where: a = \n", "where: >\n  a =\n\nlabel: x\n"):
        found = document(text)
        length = len(found.value["where"])
        at = locate(found, Diagnostic("R105", "", place=Place(length, length))).location
        assert text.splitlines()[at.line - 1][: at.column - 1].endswith("a =")


def test_a_place_over_lines_is_underlined_to_the_end_of_its_first():
    found = document("where: >\n  a = 1 and\n  b = 2\n")
    at = locate(found, Diagnostic("R103", "", place=Place(4, 15))).location
    assert (at.line, at.column, at.width) == (2, 7, 5)


def test_builder_paths_lead_to_their_scalars_and_keys():
    found = document(
        "match: any\nrules:\n  - {field: location, operator: equals, value: UK}\n  - {rule: \"lower(email) ~ 'x$'\", fild: 1}\n"
    )

    def at(*steps, start=0, end=0, code="R200"):
        place = locate(found, Diagnostic(code, "", place=Place(start, end, steps))).location
        return place.line, place.column, place.width

    assert at("rules", 0, "value") == (3, 48, 2)
    assert at("rules", 1, "rule", start=0, end=5) == (4, 13, 5)
    assert at("rules", 1, "fild", code="R121") == (4, 35, 4)
    assert at("rules", 0, "last") == (3, 5, 46)
    assert at("rules", 7) == (2, 1, 5)
    assert at("nothing") == (1, 1, 10)


def test_a_diagnostic_that_has_its_place_keeps_it():
    found = document("where: a = 1\n")
    located = locate(found, Diagnostic("R103", "", place=Place(0, 1)))
    assert locate(found, located) is located


def test_every_duplicate_key_is_told():
    _, problems = parse_document("a: 1\nb: {c: 1, c: 2}\na: 2\n", "f")
    assert [(p.code, p.location.line) for p in problems] == [("W105", 2), ("W105", 3)]


def test_aliases_work_within_bounds():
    assert document("a: &x [1, 2]\nb: *x\n").value == {"a": [1, 2], "b": [1, 2]}
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{n}: &{n} [{','.join(['*' + m] * 9)}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert only_problem(bomb).code == "W107"
    assert only_problem("a: &a [*a]\n").code == "W107"
    assert only_problem("a: &a {b: *a}\n").code == "W107"


@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 3000, "- " * 3000, "? " * 3000, "".join(" " * i + "a:\n" for i in range(400))],
    ids=["flow", "list", "key", "block"],
)
def test_deep_nesting_is_a_diagnostic(text):
    assert only_problem(text).code == "W107"


def test_a_rule_of_the_deepest_allowed_nesting_is_read():
    text = "rules:\n" + "- {rules: [" * 99 + '{rule: "true"}' + "]}" * 99 + "\n"
    assert document(text.replace("\n- {", "\n- {", 1).replace("[- ", "[")).value["rules"]


def test_a_large_file_is_refused_unread(tmp_path):
    path = tmp_path / "x.yml"
    path.write_text("#" * (MAX_BYTES + 1))
    assert read_document(path, "x.yml")[1][0].code == "W107"


def test_a_file_that_is_none(tmp_path):
    assert read_document(tmp_path / "x.yml", "x.yml")[1][0].code == "W101"
    assert read_document(tmp_path, "x.yml")[1][0].code == "W102"


def test_a_file_in_another_encoding_names_the_line(tmp_path):
    path = tmp_path / "x.yml"
    path.write_bytes(b"label: x\nowner: J\xfcrgen\n")
    (problem,) = read_document(path, "x.yml")[1]
    assert (problem.code, problem.location.line, problem.location.column) == ("W103", 2, 9)


PIECES = [
    *" \t\n\r:-[]{}#&*!|>'\"%@`,?\\~<=0123abcNO\0\x07\x85\u2028\ufeff😀é",
    "<<: ",
    "*a",
    "&a ",
    "!!str ",
    "--- ",
    "...\n",
    "%YAML 1.1\n",
    ">-\n",
    "|+2\n",
    "\\x",
    "1e999",
]
SEED_TEXT = Path(__file__).with_name("gallery").joinpath("segment_rules_broken.txt").read_text(encoding="utf-8")


def test_spoiled_files_end_in_a_document_or_diagnostics(draws: random.Random):
    for _ in range(800):
        start = draws.randrange(len(SEED_TEXT))
        text = SEED_TEXT[start : start + draws.choice([20, 100, 400])]
        for _ in range(draws.choice([1, 2, 5])):
            at = draws.randrange(len(text) + 1)
            text = text[:at] + "".join(draws.choice(PIECES) for _ in range(draws.choice([1, 1, 3]))) + text[at + draws.choice([0, 1, 3]) :]
        found, problems = parse_document(text, "f")
        assert found is not None or problems, repr(text)
        for problem in problems:
            assert problem.render()


WORDS = [
    "a",
    "b = 'x'",
    "é😀",
    "x  y",
    "it''s",
    '\\"',
    "\\n",
    "\\u00e9",
    "\\x41",
    "\\\\",
    "\\t",
    ">= 5",
    "-- c",
    "\\ ",
    "\\U0001F600",
    "\t",
]


def random_scalar(draws: random.Random) -> str:
    style = draws.choice([">", "|", ">-", "|-", ">+", "|+", ">2", "|2", "plain", '"', "'"])
    lines = [
        " " * draws.choice([2, 2, 2, 3, 4, 6])
        + " ".join(draws.choice(WORDS) for _ in range(draws.randrange(1, 4)))
        + draws.choice(["", " ", "\t"])
        if draws.random() < 0.75
        else " " * draws.choice([0, 1, 2, 3])
        for _ in range(draws.randrange(1, 6))
    ]
    end = draws.choice(["\n", "\n", "\r\n"])
    body = end.join(lines)
    if style in ('"', "'"):
        return f"k: {style}{body}{style}{end}z: 1{end}"
    if style == "plain":
        return f"k: {draws.choice(['', '&x ', '# c' + end])}{body.strip(' ')}{end}z: 1{end}"
    head = f"k: {draws.choice(['', '&x '])}{style}{draws.choice([' # c', ''])}{end}"
    return head + body + end * draws.choice([1, 2, 3]) + draws.choice(["z: 1" + end, "", "# c" + end])


def test_every_code_point_of_every_scalar_is_found_in_the_file(draws: random.Random):
    read = 0
    for _ in range(1000):
        text = random_scalar(draws)
        found, problems = parse_document(text, "f")
        node = found.root.value[0][1] if found is not None and not problems else None
        if node is None or not isinstance(node.value, str):
            continue
        raw = text[node.start_mark.index : node.end_mark.index]
        indices = spread(raw, node.value)
        assert indices is not None, repr(text)
        assert len(indices) == len(node.value) + 1
        assert indices == sorted(indices)
        assert all(raw[i] in (c, "\\") for c, i in zip(node.value, indices, strict=False) if c not in " \n"), repr(text)
        read += 1
    assert read > 500


def test_what_was_read_before_is_too_deep_for_who_calls_from_far_down():
    """A text that was parsed once is not composed again, which would have met the interpreter's limit first."""
    text = "a: " + "[" * 240 + "]" * 240
    assert parse_document(text, "deep.yml")[0] is not None

    def down(frames):
        return down(frames - 1) if frames else parse_document(text, "deep.yml")

    met = 0
    for frames in range(sys.getrecursionlimit() - len(inspect.stack()) - 600, sys.getrecursionlimit(), 50):
        try:
            document, problems = down(frames)
        except RecursionError:
            break  # too far down to call anything
        if document is None:
            assert [problem.code for problem in problems] == ["W107"]
            met += 1
    assert met
