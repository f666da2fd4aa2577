"""Drawn workspaces of other shapes: other keys, files and columns, segments that are held, and contacts that are all gone and back."""

from __future__ import annotations

import math
import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from segmentry.engine.deciding import approve, discard
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.run import Recomputed
from tests.state.drawn import LENGTHS, Drawn
from tests.state.holding import holding


@dataclass(frozen=True)
class Shape:
    """How a workspace's data is kept."""

    keys: str = "integer"
    """`integer`, `text`, `uuid`, `uint64`, `int8` or `enum`."""
    format: str = "parquet"
    """`parquet`, `csv` or `ndjson`."""
    by_event: bool = False
    """Whether the folder of an event file, and no column, tells the event's name."""
    rich: bool = False
    """Whether there are columns of more types, nested ones among them."""

    def __str__(self) -> str:
        return "-".join([self.keys, self.format, *(["by_event"] if self.by_event else []), *(["rich"] if self.rich else [])])


SHAPES = (
    Shape("uuid"),
    Shape("text", "csv"),
    Shape("uint64", by_event=True),
    Shape("text", "ndjson"),
    Shape("int8"),
    Shape("enum", by_event=True),
    Shape("uuid", "csv"),
    Shape("integer", rich=True),
    Shape("uuid", rich=True),
)

BOX = pl.Struct({"name": pl.String(), "sizes": pl.List(pl.Int64()), "lid": pl.Struct({"open": pl.Boolean(), "wide": pl.Float64()})})
RICH = {
    "ratio": pl.Float64(), "small": pl.Float32(), "big": pl.UInt64(), "wide": pl.Decimal(38, 10),
    "seen": pl.Datetime("ms", "America/New_York"), "exact": pl.Datetime("ns"), "tier": pl.Enum(["", "gold", "tin"]),
    "ref": pl.String(), "box": BOX, "boxes": pl.List(BOX),
}  # fmt: skip
"""Further columns, of contacts and of events alike."""

PARQUET_TYPES = {"ref": "uuid"}
"""What is written by DuckDB, of columns that polars has no type for."""

DECLARED = {
    "contacts": {"spend": "integer", "country": "text", "joined": "timestamp", "birthday": "date", "refuses": "boolean"},
    "events": {"at": "timestamp", "event": "text", "amount": "'decimal(12,2)'", "due": "timestamp"},
    "calls": {"day": "date", "minutes": "number"},
}
"""Types of columns whose files have none."""

SUPPRESSED = (
    "",
    "suppress: refuses",
    "suppress: spend > 5",
    "suppress: did(visit)",
    "suppress: did(call, minutes > 1)",
    "suppress: joined before ago('1 day')",
    "suppress: sum(order.amount) > 3",
    "suppress: member('both') or country = 'UK'",
)

HAPPENINGS = (
    "a_row_changes",
    "one_value_changes",
    "one_value_changes",
    "people_come_and_go",
    "people_come_and_go",
    "more_events",
    "more_calls",
    "a_file_is_rewritten",
    "a_file_goes",
    "files_change_places",
    "a_rule_is_edited",
    "a_rule_is_as_it_was",
    "a_place_in_the_group_changes",
    "a_segment_is_renamed",
    "shares_change",
    "others_are_suppressed",
    "a_list_changes",
    "somebody_is_merged",
    "somebody_who_is_merged_has_other_events",
    "somebody_is_forgotten",
    "a_historical_run",
    "a_segment_is_held",
    "nearly_all_go",
    "all_are_back",
)


def rich_condition(draw: random.Random, of: str = "") -> str:
    """On one of the further columns: a contact's, or those of what is named before a dot."""
    length = draw.choice(LENGTHS)
    return draw.choice(
        [
            f"{of}ratio > 0",
            f"{of}ratio >= 0 or {of}small < 1",
            f"{of}ratio is set",
            f"{of}small = 0.5",
            f"{of}big > 9223372036854775807",
            f"{of}big is set",
            f"{of}wide > 0.0000000001",
            f"{of}wide < 0",
            f"{of}seen before ago('{length}')",
            f"in_last({of}seen, '{length}')",
            f"in_last({of}exact, '{length}')",
            f"date({of}seen) = today()",
            f"{of}tier = 'gold'",
            f"{of}tier is set",
            f"{of}ref = '{ref(1)}'",
            f"{of}box.name = 'a'",
            f"{of}box.lid.open or {of}box.lid.wide > 0",
            f"{of}box.sizes contains 0",
            f"length({of}box.sizes) > 1",
            f"any({of}boxes, element.name is not set)",
            f"how_many({of}boxes, element.lid.open) >= 1",
            f"none({of}boxes, element.sizes contains 1)",
        ]
    )


def ref(number: int) -> str:
    """A UUID, as text."""
    return str(uuid.UUID(int=number * 2**96 + number))


@dataclass
class DrawnOtherwise(Drawn):
    """A history over data of some shape, in which more happens."""

    shape: Shape = field(default_factory=Shape)
    holds: list[str] = field(default_factory=list)
    """The segment that the next run holds."""
    held: int | None = None
    """The run whose hold nobody has decided about."""
    absent: dict[int, dict[str, Any]] = field(default_factory=dict)
    edited: tuple[str, str] | None = None
    """The file of a segment that was edited last, and what it was before."""

    def begin(self, segments: int) -> None:
        self.shop.contacts_file = f"contacts.{self.shape.format}"
        self.shop.list("no.csv", self.listed(3), self.listed(4))
        super().begin(segments)
        self.shop.segment("both", "did(order, last => '1 day')", include="vip.csv", exclude="no.csv")
        self.shop.segment("led", "member('both') or not member('s0')")
        self.shares_change()

    def play(self, runs: int) -> None:
        """Most runs follow upon something that happens."""
        self.run_both()
        for _ in range(runs):
            self.clock()
            if self.draw.random() < 0.85:
                for name in self.draw.sample(HAPPENINGS, self.draw.choice([1, 1, 2])):
                    getattr(self, name)()
            self.run_both()

    # ------------------------------------------------------------ how all is written

    def sources(self) -> str:
        """Calls are in two tables over the same files, and are orders too in one of them."""
        events, name = ("events/kind=*/*", "kind") if self.shape.by_event else ("events/*", "event")
        sources = [
            f'{{path: "{events}.{self.shape.format}", contact: contact_id, at: at, name: {name}{self.declared("events")}}}',
            f'{{path: "calls/*.{self.shape.format}", contact: contact_id, at: day, event: call{self.declared("calls")}}}',
            f'{{path: "calls/*.{self.shape.format}", contact: contact_id, at: day, event: order{self.declared("calls")}}}',
        ]
        return "events:\n" + "".join(f"  - {source}\n" for source in sources)

    def declared(self, name: str) -> str:
        if self.shape.format == "parquet":
            return ""
        types = {self.key_column(name): self.shape.keys, **DECLARED[name]}
        if self.shape.format == "ndjson" and name == "contacts":
            types["tags"] = "list of text"
        return f", fields: {{{', '.join(f'{column}: {type}' for column, type in types.items())}}}"

    def rule(self, others: list[str]) -> str:
        """A CSV file has no lists."""
        found = super().rule(others)
        while self.shape.format == "csv" and "tags" in found:
            found = super().rule(others)
        if not self.shape.rich or self.draw.random() < 0.3:
            return found
        length = self.draw.choice(LENGTHS)
        more = [rich_condition(self.draw), f"did(order, {rich_condition(self.draw)}, last => '{length}')"]
        return f"({found}) {self.draw.choice(['and', 'or'])} ({self.draw.choice(more)})"

    def key(self, number: int) -> Any:
        match self.shape.keys:
            case "text":
                return f"k é{number}" if number % 3 else f"{number:02d}"
            case "uuid":
                return f"0000000{number % 7}-abcd-4a4a-9a9a-{number:012d}"
            case "uint64":
                return number + 2**63 if number % 2 else number
            case "enum":
                return f"e{number}"
        return number

    def listed(self, number: int) -> Any:
        """UUIDs in capitals."""
        return self.key(number).upper() if self.shape.keys == "uuid" else self.key(number)

    def columns(self, name: str) -> dict[str, Any]:
        return {**super().columns(name), **(RICH if self.shape.rich and not name.startswith("calls") else {})}

    @staticmethod
    def key_column(name: str) -> str:
        return "id" if name == "contacts" else "contact_id"

    def save(self, frame: pl.DataFrame, name: str) -> None:
        """A file, or one for each event."""
        frame = self.keyed(frame, self.key_column(name))
        if not self.shape.by_event or not name.startswith("events"):
            self.write_file(frame, self.path(name))
            return
        self.unlink(name)
        for (event,), part in frame.group_by("event", maintain_order=True):
            self.write_file(part.drop("event"), self.path(name, str(event)))

    def keyed(self, frame: pl.DataFrame, column: str) -> pl.DataFrame:
        """With keys as the shape has them instead of numbers."""
        plain = {"integer": pl.Int64, "uint64": pl.UInt64, "int8": pl.Int8}.get(self.shape.keys, pl.String)
        keys = pl.Series(column, [self.key(number) for number in frame[column]], dtype=plain)
        return frame.with_columns(keys.cast(pl.Categorical) if self.shape.keys == "enum" else keys)

    def path(self, name: str, event: str | None = None) -> Path:
        found = self.shop.root / f"{name}.{self.shape.format}"
        return found if event is None else found.parent / f"kind={event}" / found.name

    def write_file(self, frame: pl.DataFrame, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        match self.shape.format:
            case "csv":
                frame.drop(column for column, type in frame.schema.items() if isinstance(type, pl.List)).write_csv(path)
            case "ndjson":
                times = pl.col(pl.Datetime, pl.Date).cast(pl.String)
                frame.with_columns(times, pl.col(pl.Decimal).cast(pl.Float64)).write_ndjson(path)
            case _:
                self.write_parquet(frame, path)

    def write_parquet(self, frame: pl.DataFrame, path: Path) -> None:
        keys = {"id": "uuid", "contact_id": "uuid"} if self.shape.keys == "uuid" else {}
        types = {column: type for column, type in {**keys, **PARQUET_TYPES}.items() if column in frame.columns}
        if not types:
            frame.write_parquet(path)
            return
        casts = ", ".join(f"{column}::{type} AS {column}" for column, type in types.items())
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("frame", frame.to_arrow())
            connection.execute(f"COPY (SELECT * REPLACE ({casts}) FROM frame) TO '{path}' (FORMAT parquet)")

    def unlink(self, name: str) -> None:
        paths = [self.path(name, event) for event in ("order", "visit")] if self.shape.by_event else [self.path(name)]
        for path in paths:
            path.unlink(missing_ok=True)

    # ------------------------------------------------------------ the data

    def person(self) -> dict[str, Any]:
        return {**super().person(), **self.further()}

    def more_events(self) -> None:
        super().more_events()
        if self.shape.rich:
            name = f"events/e{self.numbers}"
            self.files[name] = [{**row, **self.further()} for row in self.files[name]]
            self.write(name)

    def further(self) -> dict[str, Any]:
        """Values of the further columns, those among them that are taken for others most easily."""
        draw = self.draw
        if not self.shape.rich:
            return {}
        return {
            "ratio": draw.choice([None, 0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 0.1]),
            "small": draw.choice([None, 0.0, -0.0, math.nan, -math.inf, 0.5]),
            "big": draw.choice([None, 0, 1, 2**63 - 1, 2**63, 2**64 - 1]),
            "wide": draw.choice([None, *map(Decimal, ("0", "-0.0000000001", "0.0000000002", "1234567890123456789012345678.0000000001"))]),
            "seen": draw.choice([None, self.instant().replace(tzinfo=UTC, microsecond=0)]),
            "exact": draw.choice([None, self.instant()]),
            "tier": draw.choice([None, "", "gold", "tin"]),
            "ref": draw.choice([None, ref(1), ref(2)]),
            "box": draw.choice([None, self.box(), self.box()]),
            "boxes": draw.choice([None, [], [None], [self.box()], [self.box(), self.box()]]),
        }

    def box(self) -> dict[str, Any]:
        draw = self.draw
        lid = draw.choice([None, {"open": draw.choice([None, True, False]), "wide": draw.choice([None, 0.0, -0.0, math.nan, 2.5])}])
        return {
            "name": draw.choice([None, "", "a", "NULL", "a, b"]),
            "sizes": draw.choice([None, [], [0], [None], [0, 1], [1, 0]]),
            "lid": lid,
        }

    # ------------------------------------------------------------ what may happen between two runs

    def one_value_changes(self) -> None:
        """In one row of the contacts, and maybe in a column that no rule reads."""
        person, other = self.people[self.draw.choice(list(self.people))], self.person()
        column = self.draw.choice(list(other))
        person[column] = other[column]
        self.write_contacts()

    def files_change_places(self) -> None:
        """Two files of events take each other's name, with their times."""
        names = [name for name in self.files if name.startswith("events")]
        if len(names) < 2 or self.shape.by_event:
            return
        first, second = self.draw.sample(names, 2)
        aside = self.shop.root / "aside"
        self.path(first).rename(aside)
        self.path(second).rename(self.path(first))
        aside.rename(self.path(second))
        self.files[first], self.files[second] = self.files[second], self.files[first]

    def a_rule_is_edited(self) -> None:
        """While somebody's row is another, so that a column which is read for the first time may have changed."""
        paths = {path.name: path.read_text() for path in (self.shop.root / "segments").glob("s?.yml")}
        super().a_rule_is_edited()
        changed = [name for name, text in paths.items() if (self.shop.root / "segments" / name).read_text() != text]
        self.edited = (changed[0], paths[changed[0]]) if changed else None
        self.one_value_changes()

    def a_rule_is_as_it_was(self) -> None:
        """The one that was edited last is edited back."""
        if self.edited is not None:
            (self.shop.root / "segments" / self.edited[0]).write_text(self.edited[1])
            self.edited = None
            self.one_value_changes()

    def shares_change(self) -> None:
        share = self.draw.choice([10, 50, 80])
        self.shop.segment("split", "member('both') or spend > 2", split=f"{{a: {share}%, b: {100 - share}%}}")

    def others_are_suppressed(self) -> None:
        self.shop.more = f"{self.sources()}{self.draw.choice(SUPPRESSED)}\n"

    def somebody_who_is_merged_has_other_events(self) -> None:
        """Somebody becomes another contact while files of both their events are written again."""
        self.somebody_is_merged()
        for name in list(self.files):
            for row in self.files[name]:
                if row["contact_id"] in self.aliases and self.draw.random() < 0.5:
                    row["contact_id"] = self.aliases[row["contact_id"]]
            self.write(name)

    def a_segment_is_held(self) -> None:
        self.holds = [self.draw.choice(["s1", "both", "split"])]

    def nearly_all_go(self) -> None:
        stays = self.draw.choice(list(self.people))
        self.absent |= self.people
        self.people = {stays: self.people[stays]}
        self.write_contacts()

    def all_are_back(self) -> None:
        self.people = {**self.absent, **self.people}
        self.absent = {}
        self.write_contacts()

    # ------------------------------------------------------------ runs

    def run_both(self) -> None:
        """The segment that is to be held is held in both; and then somebody may decide about it, or nobody does."""
        names, self.holds, self.held = self.holds, [], None
        if not names:
            super().run_both()
            return
        with holding(*names):
            super().run_both()
        word = self.draw.choice(["approve", "discard", "nothing"])
        if self.held is not None and word != "nothing":
            self.decide(word, self.held)

    def kept(self, run: Recomputed) -> dict[str, Any]:
        kept = super().kept(run)
        self.held = run.record.id if self.holds_of(run) else None
        return kept

    @staticmethod
    def holds_of(run: Recomputed) -> bool:
        return run.consequences is not None and bool(run.consequences.held.segments)

    def decide(self, word: str, run: int) -> None:
        """Somebody approves what a run holds, or discards it."""
        workspace, now = load(self.shop.root).require(), self.now
        if word == "discard":
            discard(self.shop.state, run, (), now)
        else:
            approve(workspace, self.shop.state, run, (), now, lambda: Moment.at(workspace, now).snapshot.contacts)
