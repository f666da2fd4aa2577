"""A segment's past as stays: from when until when, how often, and who was in on a date."""

from __future__ import annotations

from datetime import datetime

import pytest

import segmentry as sg
from segmentry.errors import ClockError, NotFound
from tests.state.conftest import Shop, day


def step(shop: Shop, as_of: str, **spends: int) -> None:
    shop.contacts({"id": [int(name[1:]) for name in spends], "spend": list(spends.values())})
    shop.run(as_of)


def brief(workspace: sg.Workspace, *asked: object, **how: str) -> list[tuple[object, ...]]:
    """contact, since, until, first, left_by; with `on` also which stay it is"""

    def days(value: object) -> object:
        return f"{value:%m-%d}" if isinstance(value, datetime) else value

    found = workspace.stays("vip", *asked, **how).drop("cause", "via")
    return [tuple(map(days, row)) for row in found.rows()]


@pytest.fixture
def workspace(shop: Shop) -> sg.Workspace:
    shop.segment("vip", "spend > 10")
    step(shop, "2026-01-01", c1=50, c2=5, c3=50)
    step(shop, "2026-01-03", c1=5, c2=50, c3=50)
    step(shop, "2026-01-05", c1=50, c2=50)
    return sg.Workspace.open(shop.root)


def test_every_stay_has_its_beginning_and_its_end(workspace: sg.Workspace) -> None:
    assert brief(workspace) == [
        (1, "01-01", "01-03", True, "data"),
        (1, "01-05", None, False, None),
        (2, "01-03", None, False, None),
        (3, "01-01", "01-05", True, "source"),
    ]
    assert brief(workspace, 1) == brief(workspace, "1") == brief(workspace)[:2]
    assert brief(workspace, 77) == []
    with pytest.raises(NotFound, match="did you mean `vip`"):
        workspace.stays("vipp")


def test_who_was_in_on_a_date_since_when_and_for_which_time(workspace: sg.Workspace) -> None:
    assert [row[0] for row in brief(workspace, on="2026-01-02")] == [1, 3]
    assert [row[0] for row in brief(workspace, on="2026-01-03")] == [2, 3]  # 1 had left when the day began
    assert [row[0] for row in brief(workspace, on="2026-01-02 23:59")] == [1, 3]
    assert brief(workspace, on="2026-02-01") == [(1, "01-05", None, False, None, 2), (2, "01-03", None, False, None, 1)]
    assert brief(workspace, on="2025-12-31") == []
    with pytest.raises(ClockError, match="is not a date"):
        workspace.stays("vip", on="yesterday")


def test_a_stay_goes_on_under_another_key_and_another_name(shop: Shop, workspace: sg.Workspace) -> None:
    (shop.root / "aliases.csv").write_text("old_key,new_key\n1,8\n2,9\n")
    shop.key = "id, aliases: aliases.csv"
    step(shop, "2026-01-06", c8=50, c9=5)
    expected = [(8, "01-01", "01-03", True, "data"), (8, "01-05", None, False, None), (9, "01-03", "01-06", False, "data")]
    assert [row for row in brief(workspace) if row[0] != 3] == expected
    assert brief(workspace, 1) == brief(workspace, 8) == expected[:2]
    shop.remove("vip")
    shop.segment("best", "spend > 10", renamed_from="[vip]")
    shop.run("2026-01-07")
    assert workspace.stays("best", 8)["since"].to_list() == [day("2026-01-01"), day("2026-01-05")]


def test_a_member_by_anothers_stay_is_in_since_the_last_exit(shop: Shop, workspace: sg.Workspace) -> None:
    step(shop, "2026-01-06", c1=5, c2=50)
    (shop.root / "aliases.csv").write_text("old_key,new_key\n2,1\n")
    shop.key = "id, aliases: aliases.csv"
    step(shop, "2026-01-07", c1=50)
    assert shop.state.members("vip").to_list() == [1]
    assert brief(workspace, 1)[-1] == (1, "01-06", None, False, None)
