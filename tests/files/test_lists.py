"""Static lists: keys in every form people keep them in, typed as the contacts' key."""

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine.lists import read_list, read_lists
from segmentry.engine.snapshot import Column
from segmentry.errors import SourceError
from segmentry.rules.types import TEXT, exact

NUMBER = Column("contact_id", exact(19), "BIGINT")
WORD = Column("contact_id", TEXT, "VARCHAR")
UUID = Column("contact_id", TEXT, "UUID")


@pytest.fixture
def listed(tmp_path):
    def listed(text, key=NUMBER):
        path = tmp_path / "list.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_list(path, key)

    return listed


@pytest.mark.parametrize(
    "text",
    ["1\n2\n3\n", "1\r\n2\r\n3", "contact_id\n1\n2\n3\n", "\ufeffcontact_id\r\n1\r\n2\r\n3\r\n", "\n1\n\n 2 \n3\n\n",
     "name,Contact_ID\nAnn,1\nBo,2\nCy,3\n",
     '"contact_id","name"\n"1","a, b"\n"2",""\n"3","x\ny"\n', "contact_id,name\n1\n2,x,y\n3,\n,nobody\n"],
)  # fmt: skip
def test_ways_to_write_a_list(listed, text):
    found = listed(text)
    assert (found.keys.to_list(), found.keys.dtype, found.duplicates) == ([1, 2, 3], pl.Int64, 0)


def test_repeated_keys_are_counted_and_kept_once(listed):
    found = listed("3\n1\n3\n+1\n003\n")
    assert (found.keys.to_list(), found.duplicates) == ([3, 1], 3)


def test_an_empty_list_is_nobody(listed):
    for text in ("", "\n\n", "contact_id\n"):
        assert listed(text).keys.to_list() == []
    assert listed("", UUID).keys.to_list() == []


def test_text_keys_are_kept_as_they_are(listed):
    assert listed('00123\nÄ b\n"x,y"\n1\n', WORD).keys.to_list() == ["00123", "Ä b", "x,y", "1"]


@pytest.mark.parametrize("text", ["ann\nbo,b\n", "contact_id\nann\nbo,b\n"])
def test_half_a_key_is_none(listed, text):
    with pytest.raises(SourceError, match="one key a line, and more in this one") as caught:
        listed(text, WORD)
    assert caught.value.diagnostics[0].location.line == text.count("\n")
    assert "double quotes" in caught.value.diagnostics[0].help


def test_uuids_are_lower_case_with_hyphens(listed):
    plain = "7D0A1C52-6A0B-4C55-9D0E-0B8F5C3F9A11\n7d0a1c526a0b4c559d0e0b8f5c3f9a12\n"
    assert listed(plain, UUID).keys.to_list() == ["7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11", "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a12"]


def test_unsigned_keys_use_their_whole_range(listed):
    assert listed("18446744073709551615\n", Column("contact_id", exact(20), "UBIGINT")).keys.to_list() == [2**64 - 1]


@pytest.mark.parametrize(
    ("text", "key"),
    [("1\nx\n", NUMBER), ("1\n1.0\n", NUMBER), (f"1\n{2**64}\n", NUMBER), ("7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11\n7d0a\n", UUID)],
)
def test_a_bad_key_names_its_line(listed, text, key):
    with pytest.raises(SourceError) as raised:
        listed(text, key)
    (problem,) = raised.value.diagnostics
    assert (problem.code, problem.location.line, problem.location.file) == ("S503", 2, "list.csv")


def test_many_bad_keys_are_counted(listed):
    with pytest.raises(SourceError, match="95 more lines"):
        listed("x\n" * 100)


def test_parquet_lists(tmp_path):
    path = tmp_path / "staff.parquet"
    pq.write_table(pa.table({"name": ["a", "b", "c"], "CONTACT_ID": [2, None, 1]}), path)
    assert read_list(path, NUMBER).keys.to_list() == [2, 1]
    with pytest.raises(SourceError, match="S502"):
        read_list(path, Column("id", exact(19), "BIGINT"))
    path.write_bytes(b"no")
    with pytest.raises(SourceError, match="S501"):
        read_list(path, NUMBER)


def test_problems_of_all_lists_come_at_once(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("x\n")
    (tmp_path / "c.csv").write_text("1\n")
    paths = {name: tmp_path / name for name in ("a.csv", "b.csv", "c.csv", "d.csv")}
    with pytest.raises(SourceError) as raised:
        read_lists(paths, NUMBER)
    assert [problem.code for problem in raised.value.diagnostics] == ["S503", "S503", "S501"]
