"""`segmentry.evaluate`: what it takes, what it gives, what it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import segmentry
from segmentry import Events, RuleError, SourceError

CONTACTS = pl.DataFrame({"id": ["c", "a", "b"], "plan": ["pro", "free", None], "joined": ["2026-01-01"] * 3})
ORDERS = pl.DataFrame(
    {
        "customer": ["a", "a", "c"],
        "created": [datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC)],
        "total": [5, 7, 100],
    }
)
AS_OF = datetime(2026, 6, 15, tzinfo=UTC)


class Speaking:
    """A frame of some other library, of which nothing is known but that it speaks Arrow."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_it_answers_in_the_order_of_the_contacts() -> None:
    found = segmentry.evaluate({"any": "true", "free": "plan = 'free'", "not_free": "plan != 'free'"}, contacts=CONTACTS, key="id")
    assert found.members("any").to_list() == ["c", "a", "b"]
    assert found.members("not_free").to_list() == ["c", "b"]
    assert found.members("free").name == "id"
    assert found.counts() == {"any": 3, "free": 1, "not_free": 2}
    assert found.to_polars().to_dict(as_series=False) == {
        "id": ["c", "a", "b"], "any": [True] * 3, "free": [False, True, False], "not_free": [True, False, True],
    }  # fmt: skip
    assert found.to_polars().columns == found.to_polars().columns  # asking twice changes nothing
    assert "3 contacts" in str(found)
    assert "33.3%" in found._repr_html_()
    with pytest.raises(KeyError):
        found.members("other")


@pytest.mark.parametrize("form", ["polars", "lazy", "arrow", "batches", "speaking", "duckdb", "path", "text path"])
def test_any_arrow_speaking_frame_will_do(form: str, tmp_path: Path) -> None:
    table = CONTACTS.to_arrow()
    path = tmp_path / "contacts.parquet"
    pq.write_table(table, path)
    connection = duckdb.connect()
    frame = {
        "polars": CONTACTS,
        "lazy": CONTACTS.lazy(),
        "arrow": table,
        "batches": pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
        "speaking": Speaking(table),
        "duckdb": connection.read_parquet(str(path)),
        "path": path,
        "text path": str(path),
    }[form]
    assert segmentry.evaluate({"pro": "plan = 'pro'"}, contacts=frame, key="id").members("pro").to_list() == ["c"]
    connection.close()


def test_a_frame_must_speak_arrow() -> None:
    with pytest.raises(TypeError, match="speaks Arrow"):
        segmentry.evaluate({"any": "true"}, contacts=[{"id": 1}], key="id")


def test_events_come_as_one_table_or_several_or_by_name() -> None:
    named = ORDERS.with_columns(event=pl.lit("order")).rename({"customer": "contact_id", "created": "at"})
    visits = pl.DataFrame({"contact_id": ["b"], "at": [datetime(2026, 6, 1, tzinfo=UTC)], "event": ["visit"]})
    rules = {"ordered": "did(order)", "any": "did(any_event)"}
    alone = segmentry.evaluate({"ordered": "did(order)"}, contacts=CONTACTS, key="id", events=Events(named), as_of=AS_OF)
    assert alone.members("ordered").to_list() == ["c", "a"]
    several = segmentry.evaluate(rules, contacts=CONTACTS, key="id", events=[Events(named), Events(visits)], as_of=AS_OF)
    assert [several.members(name).to_list() for name in rules] == [["c", "a"], ["c", "a", "b"]]
    by_name = segmentry.evaluate(
        {**rules, "large": "sum(order.total) > 12"}, contacts=CONTACTS, key="id", as_of=AS_OF,
        events={"order": Events(ORDERS, contact="customer", at="created"), "visit": Events(visits)},
    )  # fmt: skip
    assert [by_name.members(name).to_list() for name in by_name.counts()] == [["c", "a"], ["c", "a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("as_of", "members"),
    [
        (datetime(2026, 6, 1, 23), ["a"]),  # noqa: DTZ001 -- naive is UTC
        (datetime(2026, 6, 2, tzinfo=UTC), ["c", "a"]),
        ("2026-06-01T23:59:59Z", ["a"]),
        ("2026-06-02", ["c", "a"]),
        (None, ["c", "a"]),
    ],
)
def test_as_of_is_an_instant_or_text(as_of: datetime | str | None, members: list[str]) -> None:
    events = {"order": Events(ORDERS, contact="customer", at="created")}
    assert (
        segmentry.evaluate({"s": "did(order)"}, contacts=CONTACTS, key="id", events=events, as_of=as_of).members("s").to_list() == members
    )


def test_rules_may_refer_to_each_other_and_be_builder_mappings() -> None:
    rules: dict[str, object] = {
        "pro": {"rules": [{"field": "plan", "operator": "equals", "value": "pro"}]},
        "rest": "not member('pro')",
        "all": "member('pro') or member('rest')",
    }
    found = segmentry.evaluate(rules, contacts=CONTACTS, key="id")  # type: ignore[arg-type]
    assert [found.members(name).to_list() for name in rules] == [["c"], ["a", "b"], ["c", "a", "b"]]


def test_every_problem_of_every_rule_is_one_error() -> None:
    rules = {"one": "paln = 'pro' and plan > 5", "two": "plan = ", "three": "plan = 'pro'"}
    with pytest.raises(RuleError) as caught:
        segmentry.evaluate(rules, contacts=CONTACTS, key="id")
    assert len(caught.value.diagnostics) == 3
    assert "one:1:1" in str(caught.value)
    assert "two:1:" in str(caught.value)


def test_a_circle_of_rules_is_an_error() -> None:
    with pytest.raises(RuleError, match="a -> b -> a"):
        segmentry.evaluate({"a": "member('b')", "b": "member('a')"}, contacts=CONTACTS, key="id")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (pa.array([], pa.int64()), "no rows"),
        (pa.array([1, None, None], pa.int64()), "2 contacts without a key"),
        (pa.array(["a", ""]), "1 contact without a key"),
        (pa.array([1, 1, 2, 2, 2]), "3 contacts with a key that another contact has"),
        (pa.array([1.5, 2.5]), "a key is an integer, text or a UUID"),
    ],
)
def test_what_can_not_be_keys_is_refused(keys: pa.Array, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint):
        segmentry.evaluate({"any": "true"}, contacts=pa.table({"id": keys}), key="id")


def test_five_examples_are_given() -> None:
    with pytest.raises(SourceError, match=r"for example 0, 1, 2, 3, 4$"):
        segmentry.evaluate({"any": "true"}, contacts=pa.table({"id": [*range(10)] * 2}), key="id")


def test_every_problem_of_the_frames_is_one_error() -> None:
    events = pa.table({"contact_id": ["a"], "at": ["yesterday"], "event": [1]})
    with pytest.raises(SourceError) as caught:
        segmentry.evaluate(
            {"any": "true"}, contacts=pa.table({"id": [1]}), key="id", events=[Events(events), Events(events, contact="contact")]
        )
    assert sorted(d.code for d in caught.value.diagnostics) == ["S301", "S303", "S303", "S304", "S305", "S305"]


def test_a_timezone_or_instant_that_is_none_is_refused() -> None:
    with pytest.raises(segmentry.ClockError):
        segmentry.evaluate({"any": "true"}, contacts=CONTACTS, key="id", timezone="Mars/Olympus")
    with pytest.raises(segmentry.ClockError):
        segmentry.evaluate({"any": "true"}, contacts=CONTACTS, key="id", as_of="soon")


def test_a_column_of_an_odd_type_does_no_harm() -> None:
    table = pa.table({"id": [1], "odd": pa.array([1], pa.decimal256(60, 0)), "half": pa.array([1.5], pa.float16()), "s": [{"a": 1}]})
    assert segmentry.evaluate({"any": "id = 1"}, contacts=table, key="id").counts() == {"any": 1}
    with pytest.raises(RuleError):
        segmentry.evaluate({"any": "odd = 1"}, contacts=table, key="id")


def test_a_missing_file_is_told_as_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        segmentry.evaluate({"any": "true"}, contacts=tmp_path / "people.parquet", key="id")
    assert "there is no people.parquet" in str(caught.value)
    assert "any more" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("as_of", ["0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00", date(2026, 1, 1), 5])
def test_what_is_no_instant_is_refused_as_such(as_of: object) -> None:
    with pytest.raises(segmentry.ClockError, match="no instant"):
        segmentry.evaluate({"any": "true"}, contacts=CONTACTS, key="id", as_of=as_of)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [-1, 19, 40, "6", True])
def test_a_scale_that_no_sum_can_keep_is_refused(scale: object) -> None:
    table = Events(ORDERS, contact="customer", at="created", scale=scale)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="no number of places; it is from 0 to 18"):
        segmentry.evaluate({"spent": "sum(order.total) > 5"}, contacts=CONTACTS, key="id", events={"order": table})


@pytest.mark.parametrize("events", [ORDERS, {"order": ORDERS}, [ORDERS]])
def test_a_bare_frame_of_events_is_told_how_to_be_given(events: object) -> None:
    with pytest.raises(TypeError, match=r"segmentry\.Events\(frame"):
        segmentry.evaluate({"bought": "did(order)"}, contacts=CONTACTS, key="id", events=events)  # type: ignore[arg-type]


def test_a_segment_has_a_name() -> None:
    with pytest.raises(ValueError, match="not empty"):
        segmentry.evaluate({"": "true"}, contacts=CONTACTS, key="id")
