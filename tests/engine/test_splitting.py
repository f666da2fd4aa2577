"""Splits: groups are shares of all contacts, found by the key alone, and an edit of the shares moves as few as it can.

Who is in which group is found a second time in `tests/oracle/groups.py`, by the description alone.
"""

import subprocess
import sys
from fractions import Fraction
from math import sqrt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentry.engine.config import SegmentConfig
from segmentry.engine.splitting import Share, Split, among, regrouped, split_of
from tests.oracle.groups import group

KEYS = [str(number) for number in range(1, 3001)]


def split(shares, salt="vip", **seeds):
    return Split(salt, tuple(Share(name, seeds.get(name, name), Fraction(share) / 100) for name, share in shares.items()))


def members(shares, salt="vip", keys=KEYS):
    found = split(shares, salt).groups(pl.Series(keys))
    return {name: {key for key, group in zip(keys, found, strict=True) if group == name} for name in [*shares, None]}


@st.composite
def divided(draw, most=100):
    names = draw(st.lists(st.sampled_from(["holdout", "a", "b", "c"]), min_size=1, unique=True))
    left, shares = most, {}
    for name in names:
        shares[name] = draw(st.integers(0, left))
        left -= shares[name]
    return shares


@given(divided(), st.text(min_size=1, max_size=5), st.lists(st.text(max_size=8), max_size=30))
def test_each_contact_is_in_the_group_that_the_description_says(shares, salt, keys):
    assert split(shares, salt).groups(pl.Series(keys, dtype=pl.String())).to_list() == [group(key, shares, salt) for key in keys]


@given(divided())
def test_groups_have_nobody_in_common_and_everybody_is_in_one_where_the_shares_are_all(shares):
    found = members(shares, keys=KEYS[:200])
    assert sum(map(len, found.values())) == 200
    if sum(shares.values()) == 100:
        assert found[None] == set()


@given(divided(), st.data())
def test_a_group_that_grows_while_no_other_does_keeps_everybody(shares, data):
    """The rest, who are in no group, count as one here."""
    grown = data.draw(st.sampled_from(sorted(shares)))
    later = {name: share if name == grown else data.draw(st.integers(0, share)) for name, share in shares.items()}
    others = sum(share for name, share in later.items() if name != grown)
    later[grown] = data.draw(st.integers(max(shares[grown], sum(shares.values()) - others), 100 - others))
    before, now = members(shares, keys=KEYS[:300]), members(later, keys=KEYS[:300])
    assert before[grown] <= now[grown]


@given(divided(), st.data())
def test_an_edit_of_a_group_moves_nobody_above_it(shares, data):
    names = list(shares)
    place = data.draw(st.integers(0, len(names) - 1))
    left, later = 100, {}
    for index, name in enumerate(names):
        later[name] = shares[name] if index < place else data.draw(st.integers(0, left))
        left -= later[name]
    before, now = members(shares, keys=KEYS[:300]), members(later, keys=KEYS[:300])
    assert all(before[name] == now[name] for name in names[:place])


@pytest.mark.parametrize(
    ("before", "now", "grown"),
    [
        ({"holdout": 10, "a": 45, "b": 45}, {"holdout": 20, "a": 40, "b": 40}, "holdout"),
        ({"a": 50, "b": 50}, {"a": 10, "b": 90}, "b"),
        ({"holdout": 10, "a": 45, "b": 45}, {"holdout": 10, "a": 60, "b": 30}, "a"),
        ({"holdout": 10, "a": 45, "b": 45}, {"holdout": 10, "b": 90}, "b"),
        ({"holdout": 10, "a": 20}, {"holdout": 10, "a": 40}, "a"),
    ],
)
def test_where_the_others_keep_their_proportions_nobody_moves_but_into_the_group_that_grows(before, now, grown):
    was, became = members(before), members(now)
    moved = {key for key in KEYS for name in [*now, None] if key in became[name] and key not in was.get(name, set())}
    assert moved == became[grown] - was[grown]


def test_without_its_holdout_a_split_moves_nobody_else():
    before, now = members({"holdout": 10, "a": 45, "b": 45}), members({"a": 50, "b": 50})
    assert before["a"] <= now["a"]
    assert before["b"] <= now["b"]


def test_a_renamed_group_has_the_same_contacts():
    shares = {"holdout": 10, "a": 45, "b": 45}
    renamed = split({"control": 10, "a": 45, "b": 45}, control="holdout")
    found = renamed.groups(pl.Series(KEYS))
    assert {key for key, group in zip(KEYS, found, strict=True) if group == "control"} == members(shares)["holdout"]
    assert regrouped(pl.Series(KEYS), split(shares), renamed) == 0
    afresh = split({"control": 10, "a": 45, "b": 45})
    assert regrouped(pl.Series(KEYS), split(shares), afresh) == sum(
        before != now for before, now in zip(split(shares).groups(pl.Series(KEYS)), afresh.groups(pl.Series(KEYS)), strict=True)
    )


def test_sizes_are_the_shares_within_what_chance_allows():
    shares, many = {"holdout": 10, "a": 45, "b": 30}, [f"c{number}" for number in range(20_000)]
    for salt in ("vip", "spring"):
        found = members(shares, salt, many)
        for name, percent in [*shares.items(), (None, 15)]:
            share = percent / 100
            assert abs(len(found[name]) - share * 20_000) < 5 * sqrt(20_000 * share * (1 - share)), (salt, name)


def test_another_salt_divides_independently():
    one, other = members({"a": 50, "b": 50}), members({"a": 50, "b": 50}, "other")
    assert abs(len(one["a"] & other["a"]) - 750) < 5 * sqrt(3000 * 0.25 * 0.75)


def test_another_process_finds_the_same():
    code = "import polars as pl; from fractions import Fraction as F; from segmentry.engine.splitting import *;"
    code += "print(Split('vip', (Share('h', 'h', F(1, 10)), Share('a', 'a', F(9, 20)))).groups(pl.Series(range(50))).to_list())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str([group(key, {"h": 10, "a": 45}, "vip") for key in range(50)])


def test_a_split_is_kept_and_read_as_it_was():
    written = split({"holdout": Fraction("33.3"), "a": 45, "b": 0}, a="first")
    assert Split.from_json(written.to_json()) == written


def test_who_has_no_key_is_in_no_group_and_of_no_split_there_is_nobody():
    assert split({"a": 100}).groups(pl.Series([1, None])).to_list() == ["a", None]
    keys = pl.Series([1, 2, 3])
    everybody = pl.Series([True, False, True])
    assert among(everybody, keys, split({"a": 100}), ["a"]).to_list() == [True, False, True]
    assert among(everybody, keys, split({"a": 100, "b": 0}), ["b"]).to_list() == [False, False, False]
    assert among(everybody, keys, None, ["a"]).to_list() == [False, False, False]
    assert among(everybody, keys, None, None).to_list() == [True, False, True]


def test_the_salt_is_the_first_name_unless_the_file_says_one():
    def salt(name, **keys):
        return split_of(name, SegmentConfig.model_validate({"where": "true", "split": {"a": "1%"}, **keys})).salt

    assert salt("vip") == "vip"
    assert salt("vip", renamed_from=["big_spenders"]) == "big_spenders"
    assert salt("vip", renamed_from=["big_spenders"], split={"salt": "spring", "a": "1%"}) == "spring"
