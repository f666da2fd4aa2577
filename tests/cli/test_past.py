"""Commands about the past: `history` of stays, `backtest`."""

from __future__ import annotations

import json


def rows(result) -> list[dict]:
    return json.loads(result.stdout)


def test_backtest_side_by_side_as_picture_and_as_rows(settled, tmp_path):
    asked = ("backtest", "buyers", "uk", "--from", "2026-02-20", "--to", "2026-02-28", "--every", "2 days", "--rule", "score > 50")
    found = rows(settled.run(*asked, "--format", "json"))
    assert {row["segment"] for row in found} == {"buyers", "uk", "rule 1"}
    assert len(found) == 15
    table = settled.run(*asked, "--svg", str(tmp_path / "x.svg"))
    assert "buyers entered" in table.stdout
    assert "rows are those of today" in table.stderr
    assert (tmp_path / "x.svg").read_text().startswith("<svg")
    assert "█" in settled.run(*asked, "--plot").stdout
    settled.run("backtest", "--from", "2026-02-20", code=2)


def test_history_of_one_contact_and_of_a_date(settled):
    uk = [row["contact"] for row in rows(settled.run("history", "uk", "--stays", "--format", "json"))]
    assert uk
    [stay] = rows(settled.run("history", "uk", str(uk[0]), "--format", "json"))
    assert (stay["contact"], stay["until"], stay["first"]) == (uk[0], None, True)
    assert [row["contact"] for row in rows(settled.run("history", "uk", "--on", "2100-01-01", "--format", "json"))] == uk
    settled.run("history", "uk", "3", "--contacts", code=2)
