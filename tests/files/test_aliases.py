"""Contacts that were merged or re-keyed: every key typed as the contacts' key, chains followed, and nothing guessed."""

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentry.engine.aliases import SHOWN, read_aliases
from segmentry.engine.snapshot import Column
from segmentry.errors import SourceError
from segmentry.rules.types import TEXT, exact

NUMBER = Column("contact_id", exact(19), "BIGINT")
UNSIGNED = Column("contact_id", exact(20), "UBIGINT")
WORD = Column("contact_id", TEXT, "VARCHAR")
UUID = Column("contact_id", TEXT, "UUID")


@pytest.fixture
def aliases(tmp_path):
    def aliases(text, key=NUMBER):
        path = tmp_path / "aliases.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_aliases(path, key).mapping

    return aliases


def codes(raised):
    return [problem.code for problem in raised.value.diagnostics]


def test_chains_lead_to_the_survivor(aliases):
    found = aliases("old_key,new_key\n3,4\n1,2\n2,3\n9,4\n1,2\n")
    assert found.rows() == [(1, 4), (2, 4), (3, 4), (9, 4)]
    assert found.schema == {"old": pl.Int64, "new": pl.Int64}


@pytest.mark.parametrize(
    "text",
    ["old_key,new_key\n1,2\n", "\ufeffNEW_KEY,why,Old_Key\r\n2,merged,1\r\n", "\nold_key , new_key\n\n +1 , 002 \n,\n",
     '"old_key","new_key"\n"1","2"'],
)  # fmt: skip
def test_ways_to_write_them(aliases, text):
    assert aliases(text).rows() == [(1, 2)]


@pytest.mark.parametrize(
    ("key", "kind", "old", "new"),
    [(WORD, pl.String, "00123", "Ä b"), (UNSIGNED, pl.UInt64, 2**64 - 1, 0), (NUMBER, pl.Int64, -(2**63), 2**63 - 1),
     (UUID, pl.String, "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11", "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a12")],
)  # fmt: skip
def test_keys_are_of_the_contacts_type(aliases, key, kind, old, new):
    found = aliases(f"old_key,new_key\n{old},{new}\n", key)
    assert (found.rows(), found.schema["old"], found.schema["new"]) == ([(old, new)], kind, kind)


def test_uuids_in_other_spellings_are_one_key(aliases):
    text = "old_key,new_key\n7D0A1C526A0B4C559D0E0B8F5C3F9A11,7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a12\n"
    assert aliases(text, UUID)["old"].to_list() == ["7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11"]


def test_nobody_was_merged(aliases):
    found = aliases("old_key,new_key\n", WORD)
    assert (found.rows(), found.schema) == ([], {"old": pl.String, "new": pl.String})


def test_parquet(tmp_path):
    path = tmp_path / "aliases.parquet"
    pq.write_table(pa.table({"Old_Key": pa.array([1, 2], pa.int32()), "new_key": ["2", "7"], "when": [1.5, None]}), path)
    assert read_aliases(path, NUMBER).mapping.rows() == [(1, 7), (2, 7)]
    pq.write_table(pa.table({"old_key": [1, None, 3], "new_key": [2, 3, None]}), path)
    with pytest.raises(SourceError) as raised:
        read_aliases(path, NUMBER)
    assert [(d.message, d.location.line) for d in raised.value.diagnostics] == [
        ("`old_key` is missing", 2), ("`new_key` is missing", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(("key", "text"), [(NUMBER, "one"), (NUMBER, str(2**63)), (NUMBER, "1.0"), (UNSIGNED, "-1"), (UUID, "7d0a")])
def test_what_is_no_key(aliases, key, text):
    other = "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11" if key is UUID else "1"
    with pytest.raises(SourceError) as raised:
        aliases(f"old_key,new_key\n{text},{other}\n{other},{text}\n", key)
    assert codes(raised) == ["S603", "S603"]


def test_every_problem_comes_at_once_and_the_many_are_counted(aliases):
    bad = "".join(f"x{n},1\n" for n in range(SHOWN + 3))
    split = "".join(f"{n},{n + 100}\n{n},{n + 200}\n" for n in range(10, 10 + SHOWN + 2))
    circles = "".join(f"{n},{n}\n" for n in range(50, 50 + SHOWN + 1))
    with pytest.raises(SourceError) as raised:
        aliases("old_key,new_key\n" + bad + split + circles)
    assert codes(raised) == ["S603"] * (SHOWN + 1) + ["S604"] * (SHOWN + 1) + ["S605"] * (SHOWN + 1)
    counted = [d.message for d in raised.value.diagnostics if " more " in d.message]
    assert counted == [
        "aliases.csv has 3 more keys that are none",
        "aliases.csv has 2 more lines about keys that became two",
        "aliases.csv has 1 more circles",
    ]


def test_a_circle_is_told_once_with_its_way(aliases):
    with pytest.raises(SourceError, match="circle: 2 -> 3 -> 4 -> 2") as raised:
        aliases("old_key,new_key\n1,2\n2,3\n3,4\n4,2\n5,1\n6,7\n")
    assert codes(raised) == ["S605"]
    long = "".join(f"{n},{(n + 1) % 1000}\n" for n in range(1000))
    with pytest.raises(SourceError, match=r"circle: 0 -> 1 -> 2 -> 3 -> 4 -> 5 -> 6 -> 7 -> \.\.\. -> 0"):
        aliases("old_key,new_key\n" + long)


@pytest.mark.parametrize("text", [b"old_key,new_key\n\xe4,1\n", b'old_key,new_key\n"' + b"x" * 200_000, b"", b"1,2\n"])
def test_files_that_are_none(aliases, text):
    with pytest.raises(SourceError) as raised:
        aliases(text)
    assert set(codes(raised)) <= {"S601", "S602"}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_survivors_are_what_following_each_line_finds(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("aliases") / "aliases.csv"
    path.write_text("old_key,new_key\n" + "".join(f"{old},{new}\n" for old, new in pairs))
    became = dict(reversed(pairs))
    ends = {}
    for old in became:
        at = old
        for _ in range(len(became) + 1):
            at = became.get(at, at)
        ends[old] = at
    sound = len(set(pairs)) == len(became) and not any(end in became for end in ends.values())
    if sound:
        assert read_aliases(path, NUMBER).mapping.rows() == sorted(ends.items())
    else:
        with pytest.raises(SourceError) as raised:
            read_aliases(path, NUMBER)
        assert set(codes(raised)) <= {"S604", "S605"}


def test_a_long_chain_is_followed_at_once(aliases):
    count = 50_000
    found = aliases("old_key,new_key\n" + "".join(f"{n},{n + 1}\n" for n in range(count)))
    assert (found.height, found["new"].unique().to_list()) == (count, [count])
