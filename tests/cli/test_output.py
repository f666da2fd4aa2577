from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from pyarrow import parquet

from segmentry import cli_output
from segmentry.engine import render

ROWS = pl.DataFrame(
    {
        "id": [1, 2],
        "amount": [Decimal("-1.10"), None],
        "naive": [datetime(2026, 1, 1, 9), None],  # noqa: DTZ001 - a time without a zone is meant
        "zoned": [datetime(2026, 1, 1, 9, tzinfo=UTC), None],
        "day": [date(2026, 1, 1), None],
        "text": ["=1+1", ""],
        "tags": [["a", "b"], None],
    }
)


def written(writer, frame, safe=False):
    stream = io.BytesIO()
    writer(frame.lazy(), stream, **({"safe": True} if safe else {}))
    return stream.getvalue()


def test_csv_tells_missing_from_empty_and_writes_lists_as_json():
    lines = written(cli_output.write_csv, ROWS).decode().splitlines()
    assert lines[0] == "id,amount,naive,zoned,day,text,tags"
    assert lines[1] == '1,-1.10,2026-01-01T09:00:00,2026-01-01T09:00:00Z,2026-01-01,=1+1,"[""a"", ""b""]"'
    assert lines[2] == '2,,,,,"",'


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_safe_csv_defuses_text_that_a_spreadsheet_would_run(start):
    frame = pl.DataFrame({"x": [f"{start}cmd()", "fine", None], "n": [-5, 1, None], f"{start}name": ["a", "b", "c"]})
    back = pl.read_csv(written(cli_output.write_csv, frame, safe=True))
    assert back["x"].to_list() == [f"'{start}cmd()", "fine", None]
    assert back["n"].to_list() == [-5, 1, None]
    assert back.columns[2] == f"'{start}name"


def test_safe_csv_defuses_dictionary_columns_too():
    frame = pl.DataFrame({"x": pl.Series(["=a", "b"], dtype=pl.Categorical)})
    assert written(cli_output.write_csv, frame, safe=True).decode().splitlines()[1] == "'=a"


def test_json_is_an_array_with_one_object_a_line():
    text = written(cli_output.write_json, ROWS).decode()
    assert len(text.splitlines()) == 4
    assert json.loads(text) == [
        {
            "id": 1,
            "amount": "-1.10",
            "naive": "2026-01-01T09:00:00",
            "zoned": "2026-01-01T09:00:00Z",
            "day": "2026-01-01",
            "text": "=1+1",
            "tags": ["a", "b"],
        },
        {"id": 2, "amount": None, "naive": None, "zoned": None, "day": None, "text": "", "tags": None},
    ]


def test_no_rows_are_still_valid_in_every_format(tmp_path):
    empty = ROWS.head(0)
    assert json.loads(written(cli_output.write_json, empty)) == []
    assert written(cli_output.write_csv, empty).decode() == "id,amount,naive,zoned,day,text,tags\n"
    cli_output.emit(empty, "parquet", output=tmp_path / "x.parquet")
    assert parquet.read_table(tmp_path / "x.parquet").column_names == ROWS.columns


def test_many_batches_are_one_document(tmp_path):
    many = pl.select(n=pl.int_range(300_000))
    assert len(json.loads(written(cli_output.write_json, many))) == 300_000
    assert written(cli_output.write_csv, many).count(b"\n") == 300_001
    cli_output.emit(many.lazy(), "parquet", output=tmp_path / "x.parquet")
    assert pl.read_parquet(tmp_path / "x.parquet").equals(many)


def test_an_output_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "members.csv"
    target.write_text("former")
    with pytest.raises(pl.exceptions.PolarsError):
        cli_output.emit(ROWS.lazy().filter(pl.col("text").str.to_integer() == 1), "csv", output=target)
    assert target.read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["members.csv"]
    cli_output.emit(ROWS.select("id"), "csv", output=target)
    assert target.read_text() == "id\n1\n2\n"


def test_a_table_in_a_pipe_is_never_cut_and_has_no_colour(capsys):
    cli_output.print_frame(pl.DataFrame({"name": ["x" * 500], "size": [1234567]}), grouped=("size",))
    out = capsys.readouterr().out
    assert "x" * 500 in out
    assert "1,234,567" in out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.parametrize(
    ("value", "shown"), [("a\x1b[2Jb", "a\\x1b[2Jb"), ("a\nb", "a\\nb"), ("a\u202eb", "a\\u202eb"), ("[red]x", "[red]x"), ("é", "é")]
)
def test_a_cell_never_drives_the_terminal(value, shown, capsys):
    assert render.cell(value) == shown
    cli_output.print_frame(pl.DataFrame({"x": [value]}))
    assert shown in capsys.readouterr().out


def test_html_is_escaped():
    assert "<script>" not in render.table_html(pl.DataFrame({"<script>": ["<script>"]}))
