"""What `gc`, `forget` and `recover` print for people: no mapping of the program's shows through."""

from __future__ import annotations

import pytest

from segmentry.cli_keep import _tell
from segmentry.engine.state.recovery import Recovered
from segmentry.engine.sync_reading_back import ReadBack


def test_a_sync_that_was_read_back_is_a_line_of_words(capsys: pytest.CaptureFixture[str]) -> None:
    one = ReadBack("vip", "crm", "list:abc", there=1200, acknowledged=1100, left=3, by_hand=0)
    other = ReadBack("uk", "crm", "tag:uk", unread="crm does not answer")
    told = {"syncs": Recovered(syncs=(one, other)).to_json()["syncs"], "files": [], "known again": 5}
    _tell(told, "table")
    lines = capsys.readouterr().out.splitlines()
    assert "{" not in "".join(lines)
    assert "segment vip" in lines[0]
    assert "there 1,200" in lines[0]
    assert "by hand 0" in lines[0]
    assert "unread crm does not answer" in lines[1]
    assert "there" not in lines[1]
    assert lines[2].split() == ["files", "none"]
