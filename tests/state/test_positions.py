"""The lasting order: known contacts keep their positions, new ones are appended, and most of the gone are dropped now and then."""

from __future__ import annotations

import polars as pl
import pytest

from segmentry.engine.positions import aligned, carried, first_placement, place
from segmentry.errors import SourceError


def bits(*values: int) -> pl.Series:
    return pl.Series([bool(value) for value in values], dtype=pl.Boolean)


def keys(*values: object) -> pl.Series:
    return pl.Series("id", values)


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
