"""Numbers, times and names that no command can use: refused in words, never ended by."""

from __future__ import annotations

import polars as pl
import pytest

HUGE = "9" * 23


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("contacts", "true", "--limit", HUGE), 2, "is not in the range"),
        (("preview", "true", "--limit", HUGE), 2, "is not in the range"),
        (("diff", "--limit", HUGE), 2, "is not in the range"),
        (("contacts", "true", "--columns", "email,email"), 2, "`email` is named twice"),
        (("preview", "true", "--as-of", "0001-01-01T00:00+14:00"), 2, "is not a time"),
        (("recompute", "--wait", f"{HUGE}h"), 2, "longer than anybody waits"),
        (("explain", "uk", HUGE), 1, "integers of at most 64 bits"),
        (("explain", "uk", str(2**64 - 1)), 1, f"there is no contact {2**64 - 1}"),
        (("diff", HUGE), 1, f"there is no run `{HUGE}`"),
        (("members", "uk", "--run", HUGE), 1, f"there is no run `{HUGE}`"),
    ],
)
def test_what_is_too_large_is_refused(settled, words, code, told):
    assert told in settled.run(*words, code=code).stderr


def test_the_largest_keys_are_found(shop):
    path = shop.folder / "data" / "contacts.parquet"
    moved = (pl.col("contact_id").cast(pl.UInt64) + (2**64 - 100)).alias("contact_id")
    pl.read_parquet(path).with_columns(moved).write_parquet(path)
    assert shop.run("explain", "uk", str(2**64 - 97)).stdout.startswith(f"contact {2**64 - 97} is in uk")


def test_an_output_that_cannot_be_made_goes_by_its_own_name(shop):
    target = shop.folder / "nowhere" / "x.csv"
    assert shop.run("contacts", "true", "--output", str(target), code=1).stderr == f"error: {target}: No such file or directory\n"


def test_a_table_of_changes_has_an_end(shop):
    rows = 1_200
    pl.DataFrame({"contact_id": range(rows)}).write_parquet(shop.folder / "data" / "contacts.parquet")
    for path in (shop.folder / "segments").glob("*.yml"):
        path.unlink()
    shop.write("segments/everybody.yml", "where: 'true'\n")
    shop.write("segmentry.yml", (shop.folder / "segmentry.yml").read_text().replace("  email: email\n", ""))
    shop.run("recompute", "--first-run")
    shown = shop.run("diff")
    assert len(shown.stdout.splitlines()) == 1_002
    assert "the first 1,000 of 1,200; --limit 0 prints all" in shown.stderr
    assert len(shop.run("diff", "--limit", "0").stdout.splitlines()) == rows + 2
    assert len(shop.run("diff", "--format", "csv").stdout.splitlines()) == rows + 1
    assert len(shop.run("diff", "--limit", "7", "--format", "csv").stdout.splitlines()) == 8


def test_members_of_a_csv_file_keep_their_columns(shop):
    """Columns in no order of the alphabet: a run's stored snapshot must not sort them."""
    shop.write("data/people.csv", "contact_id,zone,email,score\n1,UK,a@x.example,9\n2,US,b@x.example,7\n")
    shop.write("segmentry.yml", (shop.folder / "segmentry.yml").read_text().replace("contacts.parquet", "people.csv"))
    for path in (shop.folder / "segments").glob("*.yml"):
        path.unlink()
    shop.write("segments/uk.yml", "where: \"zone = 'UK'\"\n")
    shop.run("recompute", "--first-run")
    assert shop.run("members", "uk", "--format", "csv").stdout == "contact_id,zone,email,score\n1,UK,a@x.example,9\n"
