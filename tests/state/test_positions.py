"""The lasting order: known contacts keep their positions, new ones are appended, and most of the gone are dropped now and then."""

from __future__ import annotations

import polars as pl
import pytest

from segmentry.engine.positions import (
    aligned,
    carried,
    first_placement,
    handed_on,
    in_order,
    place,
    placement_of,
    relocated,
    same_place,
    survivors,
    with_merges,
)
from segmentry.errors import SourceError


def bits(*values: int) -> pl.Series:
    return pl.Series([bool(value) for value in values], dtype=pl.Boolean)


def keys(*values: object) -> pl.Series:
    return pl.Series("id", values)


def test_the_keys_of_rows_are_told_by_an_order_that_knows_where_they_stand() -> None:
    former, rows = keys(10, 20, 30), keys(30, 10, 20)
    unread = same_place(former, bits(1, 1, 1), "int", keys(10)).alignment
    assert unread.keys_of_rows() is None, "in which order its rows are, nobody looked"
    assert unread.held_once(None) is None
    assert unread.held_once(rows) is rows
    known = in_order(unread, rows)
    found = known.keys_of_rows()
    assert found is not None
    assert found.to_list() == rows.to_list()
    assert known.held_once(rows) is None
    own = unread.held_once(keys(10, 20, 30).rename("contact"))
    assert own is not None
    assert (own.name, own.to_list()) == ("contact", [10, 20, 30])


def test_a_first_snapshot_s_order_is_its_own() -> None:
    placement = first_placement(keys("b", "a"), "text")
    assert placement.alignment.keys.to_list() == ["b", "a"]
    assert placement.alignment.position_of_row is None
    assert placement.gone == 0


def test_the_very_same_keys_need_no_join() -> None:
    placement = place(keys(3, 1, 2), bits(1, 1, 1), "integer", keys(3, 1, 2), "integer")
    assert placement.alignment.position_of_row is None
    assert placement.alignment.size == 3


def test_known_keys_keep_their_positions_and_new_ones_follow_in_the_snapshot_s_order() -> None:
    placement = place(keys(3, 1, 2, 7, 8, 9), bits(1, 1, 1, 1, 1, 1), "integer", keys(12, 2, 11, 3, 7, 8, 9), "integer")
    alignment = placement.alignment
    assert alignment.keys.to_list() == [3, 1, 2, 7, 8, 9, 12, 11]
    assert alignment.present.to_list() == [True, False, True, True, True, True, True, True]
    assert alignment.position_of_row is not None
    assert alignment.position_of_row.to_list() == [6, 2, 7, 0, 3, 4, 5]
    assert alignment.position_of_row.dtype == pl.UInt32
    assert placement.former_positions is None
    assert carried(bits(1, 1, 1, 0, 0, 1), placement).to_list() == [True, True, True, False, False, True, False, False]


def test_who_comes_back_has_the_former_position() -> None:
    placement = place(keys(1, 2, 3, 4, 5), bits(1, 0, 1, 1, 1), "integer", keys(5, 2, 1, 3, 4), "integer")
    assert placement.alignment.keys.to_list() == [1, 2, 3, 4, 5]
    assert placement.alignment.present.all()


def test_more_than_a_quarter_gone_is_compacted_once_they_were_gone_before_too() -> None:
    former, now = keys(*range(8)), keys(0, 2, 4, 6, 7)
    first = place(former, bits(*[1] * 8), "integer", now, "integer")
    assert first.alignment.size == 8  # who left just now is still compared
    second = place(first.alignment.keys, first.alignment.present, "integer", keys(7, 6, 4, 2, 20), "integer")
    assert second.alignment.keys.to_list() == [0, 2, 4, 6, 7, 20]
    assert second.alignment.present.to_list() == [False, True, True, True, True, True]
    assert second.alignment.position_of_row is not None
    assert second.alignment.position_of_row.to_list() == [4, 3, 2, 1, 5]
    assert second.former_positions is not None
    assert second.former_positions.to_list() == [0, None, 1, None, 2, None, 3, 4]
    assert carried(bits(1, 1, 0, 1, 0, 0, 1, 0), second).to_list() == [True, False, False, True, False, False]


def test_an_erased_position_is_nobody_s() -> None:
    placement = place(keys("a", None, "c"), bits(1, 1, 1), "text", keys("a", "b", "c"), "text")
    assert placement.alignment.keys.to_list() == ["a", None, "c", "b"]
    assert placement.alignment.present.to_list() == [True, False, True, True]


@pytest.mark.parametrize("wide", [pl.Int64, pl.UInt64])
def test_integers_may_be_stored_wider_or_narrower(wide: type[pl.DataType]) -> None:
    narrow = keys(1, 2).cast(pl.Int32)
    for former, now in ((narrow, keys(2, 3).cast(wide)), (keys(1, 2).cast(wide), narrow)):
        assert place(former, bits(1, 1), "integer", now, "integer").alignment.keys.dtype == now.dtype
    large = keys(1, 2**62).cast(wide)
    assert place(large, bits(1, 1), "integer", narrow, "integer").alignment.keys.to_list() == [1, 2**62, 2]


@pytest.mark.parametrize(("former", "now"), [("integer", "text"), ("text", "uuid"), ("uuid", "integer")])
def test_a_changed_key_type_is_refused(former: str, now: str) -> None:
    with pytest.raises(SourceError, match="S403"):
        place(keys("1"), bits(1), former, keys("1"), now)


def test_an_order_for_a_snapshot_of_other_definitions() -> None:
    alignment = aligned(keys(1, 2), keys(9, 2))
    assert alignment.keys.to_list() == [1, 2, 9]
    assert alignment.present.to_list() == [False, True, True]


def test_while_a_membership_is_carried_along_no_position_goes() -> None:
    former, there = keys(*range(8)), bits(1, 1, 1, 0, 0, 0, 0, 0)
    assert place(former, there, "integer", keys(0, 1), "integer", compact=False).alignment.size == 8
    assert place(former, there, "integer", keys(0, 1), "integer").alignment.size == 3


def test_an_older_order_beside_the_present_one() -> None:
    present = place(keys(3, 1, 2), bits(1, 1, 1), "integer", keys(2, 3, 9), "integer")
    prefix = placement_of(keys(3, 1).cast(pl.Int16), present)
    assert (prefix.former_size, prefix.former_positions) == (2, None)
    assert carried(bits(1, 0), prefix).to_list() == [True, False, False, False]
    other = placement_of(pl.Series("id", [9, None, 2, 7], pl.Int64), present)
    assert other.former_positions is not None
    assert other.former_positions.to_list() == [3, None, 2, None]
    assert carried(bits(1, 1, 0, 1), other).to_list() == [False, False, False, True]


def pairs(*rows: tuple[object, object]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["old", "new"], orient="row")


def test_a_merged_contact_hands_on_to_the_survivor() -> None:
    placement = place(keys(1, 2, 3, 4, 5), bits(1, 1, 1, 1, 1), "integer", keys(1, 2, 9), "integer", compact=False)
    merged = with_merges(placement, pairs((3, 1), (4, 1), (5, 9), (2, 1), (77, 1), (6, 78)))
    assert merged.merges is not None
    assert merged.merges.keys.rows() == [(3, 1), (4, 1), (5, 9), (77, 1)]
    assert merged.merges.positions.rows() == [(2, 0), (3, 0), (4, 5)]
    former = bits(0, 1, 0, 1, 1)
    assert carried(former, merged).to_list() == [True, True, False, False, False, True]
    assert relocated(former, merged).to_list() == [False, True, False, True, True, False]
    assert former.to_list() == [False, True, False, True, True]
    assert carried(bits(1, 0, 0, 0, 0), merged).to_list() == [True, False, False, False, False, False]
    assert handed_on(keys(2, 5, 4, 3, 8), merged).to_list() == [2, 9, 1, 8]
    gone_before = survivors(bits(1, 1, 1, 0, 0), merged)
    assert isinstance(gone_before, pl.Series)
    assert gone_before.to_list() == [True, False, False, False, False, False]


def test_nothing_is_merged_where_no_pair_says_so() -> None:
    placement = place(keys(1, 2), bits(1, 1), "integer", keys(1, 2), "integer")
    for aliases in (None, pairs((1, 2)), pairs((1, 2)).clear(), pl.DataFrame({"old": ["x"], "new": ["1"]})):
        assert with_merges(placement, aliases) is placement
    assert survivors(bits(1, 1), placement) is False
    assert handed_on(keys(2), placement).to_list() == [2]
