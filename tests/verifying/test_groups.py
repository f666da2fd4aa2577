"""`segmentry verify` reads `split:` a second time: it agrees with the engine, and finds an engine that draws groups otherwise."""

from __future__ import annotations

import hashlib
import json
import random
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from segmentry import Workspace
from segmentry.engine import splitting
from segmentry.engine.splitting import Share, Split
from segmentry.verifying.groups import division
from tests.cli.conftest import Shop, build

AS_OF = "2026-03-01T12:00Z"
SPLIT = "split: {salt: s, holdout: 25%, a: 30%, b: 30%}\n"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = build(tmp_path)
    rows = pl.DataFrame({"contact_id": range(1, 301), "email": [f"p{n}@example.com" for n in range(1, 301)], "score": range(300)})
    rows.with_columns(location=pl.lit("UK"), note=pl.lit("x")).write_parquet(tmp_path / "data" / "contacts.parquet")
    made.write("segments/vip.yml", f"where: score >= 100\n{SPLIT}")
    return made


def verified(shop: Shop, *names: str, code: int = 0) -> dict:
    return json.loads(shop.run("verify", *names, "--sample", "300", "--as-of", AS_OF, "--format", "json", code=code).stdout)


def test_groups_agree_and_that_is_said(shop: Shop) -> None:
    [vip] = verified(shop, "vip")["segments"]
    assert (vip["finding"], vip["checked"], vip["misgrouped"]) == ("agrees", 300, [])
    assert "agrees; groups agree" in shop.run("verify", "vip", "--as-of", AS_OF).stdout
    [uk] = verified(shop, "uk")["segments"]
    assert uk["misgrouped"] is None


def test_shares_that_are_not_of_those_who_are_left_are_found(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that gives `a` 30 % of who is not held out, where it should be 30 of 75 %."""

    def wrong(split: Split) -> tuple[tuple[str, bytes, str], ...]:
        return tuple((one.name, f"{split.salt}:{one.seed}:".encode(), f"{int(one.share * 16**15):015x}") for one in split.shares)

    monkeypatch.setattr(Split, "steps", property(wrong))
    found = verified(shop, "vip", code=70)
    assert found["segments"][0]["misgrouped"]
    assert found["segments"][0]["differing"] == []


@pytest.mark.parametrize(
    ("what", "wrong"),
    [
        ("the salt", lambda split: Split(f"{split.salt}2", split.shares)),
        ("the order", lambda split: Split(split.salt, split.shares[::-1])),
        ("a share of those who are left", lambda split: Split(split.salt, (*split.shares[:2], Share("b", "b", Fraction(29, 100))))),
        (
            "the name it had first",
            lambda split: Split(split.salt, tuple(Share(one.name, f"{one.seed}_", one.share) for one in split.shares)),
        ),
        ("no group at all", lambda split: None),
    ],
)
def test_another_division_is_found(shop: Shop, monkeypatch: pytest.MonkeyPatch, what: str, wrong) -> None:
    from segmentry.engine import misgrouped

    monkeypatch.setattr(misgrouped, "split_of", lambda name, config: wrong(splitting.split_of(name, config)))
    found = verified(shop, "vip", code=70)
    assert found["segments"][0]["finding"] == "disagrees", what
    [case] = found["cases"]
    assert case["part"] == "split"
    assert case["contact"] in found["segments"][0]["misgrouped"]
    assert case["engine"] != case["second"]


def test_the_smallest_case_says_what_was_drawn(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Split, "group", lambda _split, _key: "holdout")
    [case] = Workspace.open(shop.folder).verify(["vip"], sample=300, as_of=AS_OF).cases
    digest = hashlib.md5(f"s:holdout:{case.contact}".encode(), usedforsecurity=False).hexdigest()
    number = int(digest[:15], 16) / 16**15
    assert number >= 0.25
    lines = str(case).splitlines()
    assert lines[1] == "  the groups of `vip`, salt s"
    assert lines[3] == f"  holdout: MD5 of s:holdout:{case.contact} is {number:.9f}, not below 0.250000000"
    assert "about the group of" in shop.run("verify", "vip", "--as-of", AS_OF, code=70).stdout


def test_groups_are_checked_where_the_rule_has_no_second_reading(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write("segments/upper.yml", f"where: \"email ~ '\\\\p{{Lu}}'\"\n{SPLIT}")
    [upper] = verified(shop, "upper")["segments"]
    assert (upper["finding"], upper["misgrouped"]) == ("not verified", [])
    monkeypatch.setattr(Split, "group", lambda _split, _key: None)
    [upper] = verified(shop, "upper", code=70)["segments"]
    assert upper["finding"] == "disagrees"


def test_two_readings_of_random_splits_agree(seed: int) -> None:
    """Shares of a few decimals, former names, keys that are numbers and texts; also such as come to exactly everybody."""
    draw = random.Random(f"{seed}:groups")
    for _ in range(200):
        parts = [draw.choice([0, 0.5, 3, 12.5, 33.333333, 50, 100]) for _ in range(draw.randint(1, 4))]
        while sum(parts) > 100:
            parts.pop()
        names = [f"g{number}" for number in range(len(parts))]
        former = [draw.choice([None, f"old{number}"]) for number in range(len(parts))]
        salt = draw.choice([None, "", "x:y", "ü"])
        renamed = draw.choice([[], ["was"]])
        shares = [f"{part:g}{draw.choice(['', ' '])}%" for part in parts]
        divided = division("name", renamed, salt, {n: (f, s) for n, f, s in zip(names, former, shares, strict=True)})
        said = (renamed[0] if renamed else "name") if salt is None else salt
        exact = [Fraction(share.rstrip(" %")) / 100 for share in shares]
        split = Split(said, tuple(Share(n, f or n, s) for n, f, s in zip(names, former, exact, strict=True)))
        for key in (*draw.sample(range(10**6), 20), "a", "ü:1"):
            assert divided.group(key) == split.group(str(key)), (shares, key)
