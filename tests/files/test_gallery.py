"""Bad workspaces and what is said about them: each file of `gallery/` is a workspace and the rendered diagnostics.

Adding a case is adding a file; `REGENERATE=1 pytest tests/files/test_gallery.py` writes what is said now, for the reviewer to read.
"""

import os
import re
from pathlib import Path

import pytest

from segmentry.engine.codes import CODES
from tests.files.bad_workspaces import SAID, build, parse_case, rendered

GALLERY = sorted((Path(__file__).parent / "gallery").glob("*.txt"))


@pytest.mark.parametrize("file", GALLERY, ids=lambda file: file.stem)
def test_what_is_said_about_a_bad_workspace(file, tmp_path):
    text = file.read_text(encoding="utf-8")
    case = parse_case(text)
    build(case, tmp_path)
    said = rendered(tmp_path)
    if os.environ.get("REGENERATE"):
        file.write_text(text.partition(SAID)[0] + SAID + said, encoding="utf-8")
        case = parse_case(file.read_text(encoding="utf-8"))
    assert said == case.said


def shown_codes() -> set[str]:
    return {code for file in GALLERY for code in re.findall(r"(?m)^(?:error|warning)\[([WS]\d+)\]", file.read_text(encoding="utf-8"))}


def test_every_problem_names_its_code_in_the_table():
    assert shown_codes() <= set(CODES)


def test_every_code_that_a_file_can_cause_has_a_picture():
    elsewhere = {
        "W303",  # an environment is asked for on the command line
        "W304",  # `init` and `new`
        "W102", "S103",  # need a file that its owner may not read
        "W107",  # needs a file too large to be a picture
        "S401", "S402", "S403",  # need two moments
        "W313",  # needs a type that a package brings: test_words.py
        "W310",  # needs a run and an edit: test_activation_checks.py
        "W320", "W321", "W322", "W323", "W324",  # need a destination that is asked: tests/syncs/test_online.py
    }  # fmt: skip
    elsewhere |= {code for code in CODES if code.startswith("X")}  # statements for other engines: tests/engine/test_whole.py, tests/spark
    by_runs = {code for code in CODES if "S307" <= code < "S400"}  # a run reads the data itself
    assert set(CODES) - elsewhere - by_runs - shown_codes() == set()


def test_there_are_enough():
    assert len(GALLERY) >= 25
