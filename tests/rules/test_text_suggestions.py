"""The nearest name: near ones are found whatever their case, far ones are not offered, and the order of a set does not matter."""

import pytest

from segmentry.rules.suggest import did_you_mean, nearest

FIELDS = {"country", "Email", "date_added", "lifetime_value", "location"}


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("contry", "country"),
        ("email", "Email"),
        ("EMIAL", "Email"),
        ("date_add", "date_added"),
        ("xyz", None),
        ("", None),
        ("e" * 70_000, None),
    ],
)
def test_the_nearest_name(written, found):
    assert nearest(written, FIELDS) == found
    assert did_you_mean(written, FIELDS) == (f"did you mean `{found}`?" if found else None)


def test_of_equally_near_names_the_first_in_alphabetical_order():
    assert nearest("ab", ["abz", "abx", "aby"]) == nearest("ab", ["aby", "abz", "abx"]) == "abx"
    assert nearest("a", []) is None
