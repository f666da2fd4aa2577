"""What goes wrong outside of us is told as that: it is the user's problem, with what to do, and no bug."""

from __future__ import annotations

import pytest

from segmentry.engine.backends.failures import damage


def damaged(path) -> None:
    content = bytearray(path.read_bytes())
    for index in range(20, 400):
        content[index] ^= 0x5A
    path.write_bytes(content)


@pytest.mark.parametrize(
    "words", [("recompute", "--first-run"), ("contacts", "did(order_placed)"), ("check",), ("preview", "did(order_placed)")]
)
def test_a_damaged_file_is_named(shop, words):
    shop.write("segments/ever.yml", "where: did(order_placed, amount > 10)\n")  # whatever the time, the events have to be read
    damaged(shop.folder / "data/events.parquet")
    result = shop.run(*words, code=1)
    assert "S202" in result.stderr
    assert "events.parquet is a damaged Parquet file" in result.stderr


def test_a_damaged_file_of_members_is_named(shop_after_a_run):
    path = shop_after_a_run.folder / "data/contacts.parquet"
    damaged(path)
    assert damage(path) is not None
    assert "contacts.parquet is a damaged Parquet file" in shop_after_a_run.run("members", "uk", code=1).stderr


def test_too_little_memory_says_where_to_allow_more(shop):
    import polars as pl

    frame = pl.select(contact_id=pl.int_range(400_000)).with_columns(email=pl.col("contact_id").cast(pl.String) + "@example.com")
    frame.with_columns(location=pl.lit("UK"), score=pl.lit(1)).write_parquet(shop.folder / "data/contacts.parquet")
    shop.write("segmentry.yml", (shop.folder / "segmentry.yml").read_text() + "engine: {memory: 2 MB, threads: 1}\n")
    result = shop.run("recompute", "--first-run", code=1)
    assert "engine: {memory: ...}" in result.stderr


def test_a_folder_that_may_not_be_written(shop):
    shop.write("not_a_folder", "")
    result = shop.run("members", "uk", "--output", str(shop.folder / "not_a_folder" / "x.csv"), code=1)
    assert "bug" not in result.stderr
    result = shop.run("contacts", "true", "--output", str(shop.folder / "not_a_folder" / "x.csv"), code=1)
    assert "not_a_folder" in result.stderr
