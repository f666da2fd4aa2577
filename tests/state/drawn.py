"""A small workspace whose data, rules and clock are drawn, and which is run twice at every instant: by itself, and in full."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from segmentry.engine.run import Recomputed
from segmentry.engine.state import reading
from segmentry.engine.state.records import Status
from tests.state.conftest import Shop

START = datetime(2026, 1, 29, 20, 30, tzinfo=UTC)
ZONE = "Europe/Berlin"
TICK = timedelta(microseconds=1)
LENGTHS = ("90 minutes", "1 day", "2 days", "1 week", "1 month")
PERIODS = ("today", "yesterday", "this week", "last week", "this month", "last month", "this year")
CONTACTS = {
    "id": pl.Int64(), "spend": pl.Int64(), "country": pl.String(),
    "joined": pl.Datetime("us"), "birthday": pl.Date(), "tags": pl.List(pl.String()),
    "refuses": pl.Boolean(),
}  # fmt: skip
JUMPS = (
    TICK, timedelta(seconds=1), timedelta(minutes=59), timedelta(hours=1), timedelta(hours=7),
    timedelta(days=1), timedelta(days=9), timedelta(days=33),
)  # fmt: skip
EVENTS = {"contact_id": pl.Int64(), "at": pl.Datetime("us"), "event": pl.String(), "amount": pl.Decimal(12, 2), "due": pl.Datetime("us")}
CALLS = {"contact_id": pl.Int64(), "day": pl.Date(), "minutes": pl.Float64()}
SOURCES = """events:
  - {path: "events/*.parquet", contact: contact_id, at: at, name: event}
  - {path: "calls/*.parquet", contact: contact_id, at: day, event: call}
"""

GROUP = ("first", "second", "third")
SUPPRESSED = (
    "",
    "suppress: refuses",
    "suppress: refuses or did(order, amount > 8, last => '2 days')",
    "suppress: member('both') and spend > 2",
)
"""Nobody; or by a column that no segment's rule reads; or by events and a segment."""


def rule(draw: random.Random, others: list[str]) -> str:
    """A condition of one of many kinds, or several of them together. `others` are segments that it may refer to."""
    kinds = [row_condition, row_condition, event_condition, event_condition, event_condition, rare_condition]
    parts = [draw.choice(kinds)(draw) for _ in range(draw.choice([1, 1, 2, 3]))]
    if others and draw.random() < 0.3:
        parts.append(about_segment(draw, draw.choice(others)))
    parts = [f"not ({part})" if draw.random() < 0.2 else part for part in parts]
    if len(parts) > 2 and draw.random() < 0.3:
        return f"at_least(2, {', '.join(parts)})"
    return draw.choice([" and ", " or "]).join(f"({part})" for part in parts)


def row_condition(draw: random.Random) -> str:
    length, unit = draw.choice(LENGTHS), draw.choice(["week", "month", "year"])
    days = draw.choice(["1 day", "1 week", "1 month"])
    return draw.choice(
        [
            f"spend > {draw.randint(0, 8)}",
            "country = 'UK'",
            "country is set and spend < 6",
            "tags contains 'a'",
            f"in_last(joined, '{length}')",
            f"in_next(joined, '{length}')",
            f"joined before ago('{length}')",
            f"during(joined, '{draw.choice(PERIODS)}')",
            f"in_last(birthday, '{days}')",
            f"during(birthday, '{draw.choice(PERIODS)}')",
            f"in_next(next_anniversary(birthday), '{days}')",
            f"birthday >= start_of('{unit}') - '5 days'",
            "date(joined) = today()",
            "month(joined) = month(now()) or hour(joined) < hour(now())",
            "sample('40%', salt => 'x')",
        ]
    )


def event_condition(draw: random.Random) -> str:
    length, event = draw.choice(LENGTHS), draw.choice(["order", "visit", "any_event", "'or*'"])
    within = draw.choice(
        [
            f"last => '{length}'",
            f"last => '{length}', until => ago('90 minutes')",
            f"since => ago('{length}')",
            f"since => start_of('{draw.choice(['week', 'month'])}')",
            f"during => '{draw.choice(PERIODS)}'",
            "until => '2026-02-02 10:00'",
            "since => '2026-01-30'",
        ]
    )
    return draw.choice(
        [
            f"did({event}, {within})",
            f"did({event}, {within})",
            f"count({event}, {within}) >= {draw.randint(1, 3)}",
            f"did(order, amount > 4, {within})",
            f"did(order, amount > contact.spend, {within})",
            f"sum(order.amount, {within}) > {draw.randint(2, 12)}",
            f"avg(order.amount, {within}) > 4 or max(order.amount, {within}) < 3",
            f"distinct(order.amount, {within}) >= 2",
            f"did(call, {within})",
            f"sum(call.minutes, minutes > 1, {within}) > 3",
            f"last({event}) before ago('{length}')",
            f"first({event}, {within}) after ago('{length}')",
            f"latest(order.amount, {within}) > 5",
            f"count({event}) = 0",
            f"count(order, last => '1 week') > count(visit, {within})",
        ]
    )


def rare_condition(draw: random.Random) -> str:
    length, period = draw.choice(LENGTHS), draw.choice(["day", "week", "month"])
    return draw.choice(
        [
            f"sequence(did(visit), did(order), within => '3 days', last => '{length}')",
            f"sequence(did(order, last => '{length}'), not did(visit), within => '1 day')",
            f"active_periods({draw.choice(['order', 'call'])}, period => '{period}', of => {draw.randint(1, 4)}) >= {draw.randint(1, 2)}",
            f"did(order, in_last(due, '{length}'))",
            f"latest(order.due) before ago('{length}')",
            "date(last(order)) = today()",
            "top(3, by => spend)",
            f"top('30%', by => count(order, last => '{length}'))",
            "ntile(3, by => spend, per => country) = 1",
        ]
    )


def about_segment(draw: random.Random, other: str) -> str:
    return draw.choice(
        [
            f"member('{other}')",
            f"not member('{other}')",
            f"member('{other}')",
            f"entered('{other}', last => '2 days')",
            f"exited('{other}', last => '1 day')",
            f"member('{other}', for => '1 day')",
            f"top(2, by => spend, among => member('{other}'))",
        ]
    )


@dataclass
class Drawn:
    """One history. `fulls` and `parts` count the runs that computed everything by themselves, and those that did not."""

    shop: Shop
    draw: random.Random
    now: datetime = START
    people: dict[int, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    next: list[datetime] = field(default_factory=list)
    numbers: int = 0
    first: int = 1
    """The lowest number that a contact has; where a history is long, later ones come."""
    aliases: dict[int, int] = field(default_factory=dict)
    renamed: list[str] = field(default_factory=lambda: ["listed"])
    fulls: list[str] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, segments: int) -> None:
        self.shop.zone, self.shop.more, self.shop.events = ZONE, self.sources(), False
        for folder in ("events", "calls", "segments"):
            (self.shop.root / folder).mkdir(exist_ok=True)
        for key in range(1, 13):
            self.people[key] = self.person()
        for _ in range(3):
            self.more_events()
        self.more_calls()
        self.a_list_has(1, 2, 99)
        self.shop.key = f"id, aliases: aliases.csv{self.declared('contacts')}"
        self.write_aliases()
        self.write_contacts()
        names: list[str] = []
        for number in range(segments):
            self.shop.segment(f"s{number}", self.rule(names[:number]))
            names.append(f"s{number}")
        self.shop.segment("listed", list="vip.csv")
        self.shop.segment("both", "did(order, last => '1 day')", include="vip.csv")
        self.shop.more += self.draw.choice(SUPPRESSED) + "\n"
        for name in GROUP:
            self.a_place_in_the_group_changes(name)

    # ------------------------------------------------------------ how all is written

    def sources(self) -> str:
        return SOURCES

    def declared(self, name: str) -> str:
        """The types of a table's columns, as further keys of its source, where its files do not tell them."""
        return ""

    def rule(self, others: list[str]) -> str:
        return rule(self.draw, others)

    def key(self, number: int) -> Any:
        """A contact's key, as it is known to a run."""
        return number

    def listed(self, number: int) -> Any:
        """A contact's key, as lists and aliases spell it."""
        return self.key(number)

    def columns(self, name: str) -> dict[str, Any]:
        """The types of what a file has."""
        return CONTACTS if name == "contacts" else EVENTS if name.startswith("events") else CALLS

    def save(self, frame: pl.DataFrame, name: str) -> None:
        frame.write_parquet(self.shop.root / f"{name}.parquet")

    def unlink(self, name: str) -> None:
        (self.shop.root / f"{name}.parquet").unlink()

    # ------------------------------------------------------------ the data

    def person(self) -> dict[str, Any]:
        draw = self.draw
        joined = self.instant()
        born = date(draw.choice([1980, 2000, 2026]), draw.choice([1, 2, 2, 3]), draw.randint(1, 28))
        tags = [tag for tag in "abc" if draw.random() < 0.5]
        return {
            "spend": draw.choice([None, *range(10)]),
            "country": draw.choice([None, "UK", "US"]),
            "joined": draw.choice([None, joined, joined]),
            "birthday": draw.choice([None, born, (self.now + timedelta(days=draw.randint(-9, 9))).date()]),
            "tags": tags,
            "refuses": draw.choice([None, True, False]),
        }

    def anybody(self, among: int) -> int:
        """The number of somebody who is there, or was, or will be."""
        return self.first - 1 + self.draw.randint(1, among)

    def instant(self) -> datetime:
        """An instant about now, often so that a window's edge passes it soon; some in the future."""
        length = self.draw.choice(
            [timedelta(0), timedelta(minutes=90), timedelta(days=1), timedelta(days=2), timedelta(days=7), timedelta(days=31)]
        )
        near = self.draw.choice(
            [timedelta(0), timedelta(minutes=self.draw.randint(-300, 300)), timedelta(hours=self.draw.randint(-40, 60))]
        )
        return (self.now - length + near).replace(tzinfo=None)

    def more_events(self) -> None:
        self.numbers += 1
        rows = []
        for _ in range(self.draw.randint(1, 14)):
            amount = self.draw.choice([None, Decimal(self.draw.randint(0, 900)) / 100])
            at = self.draw.choice([self.instant(), self.instant(), self.instant(), None if self.draw.random() < 0.2 else self.instant()])
            row = {"contact_id": self.anybody(16), "at": at, "event": self.draw.choice(["order", "visit", "order"])}
            rows.append({**row, "amount": amount, "due": self.draw.choice([None, self.instant()])})
        if rows and self.draw.random() < 0.2:
            rows.append(dict(rows[0]))
        self.files[f"events/e{self.numbers}"] = rows
        self.write(f"events/e{self.numbers}")

    def more_calls(self) -> None:
        self.numbers += 1
        rows = [
            {"contact_id": self.anybody(16), "day": self.instant().date(), "minutes": self.draw.choice([None, 0.5, 2.25, 3.0])}
            for _ in range(self.draw.randint(1, 8))
        ]
        self.files[f"calls/c{self.numbers}"] = rows
        self.write(f"calls/c{self.numbers}")

    def write(self, name: str) -> None:
        self.save(pl.DataFrame(self.files[name], schema=self.columns(name), orient="row"), name)

    def write_contacts(self) -> None:
        keys = list(self.people)
        if self.draw.random() < 0.3:
            self.draw.shuffle(keys)
        rows = [{"id": key, **self.people[key]} for key in keys]
        self.save(pl.DataFrame(rows, schema=self.columns("contacts"), orient="row"), "contacts")

    # ------------------------------------------------------------ what may happen between two runs

    def clock(self) -> None:
        """Time goes on: by some length; or step by step to just before an edge passes something, to that instant, and just after it."""
        draw = self.draw
        while self.next and self.next[0] <= self.now:
            self.next.pop(0)
        if self.next:
            self.now = self.next.pop(0)
            return
        lengths = [timedelta(0), timedelta(minutes=90), timedelta(days=1), timedelta(days=2), timedelta(days=7)]
        moments = [row["at"] for rows in self.files.values() for row in rows if row.get("at")]
        moments += [person["joined"] for person in self.people.values() if person["joined"]]
        edges = [moment.replace(tzinfo=UTC) + draw.choice([-1, 1]) * length for moment in moments for length in lengths]
        soon = sorted(edge for edge in edges if self.now < edge < self.now + timedelta(days=3))
        if not soon or draw.random() < 0.3:
            self.now += draw.choice(JUMPS)
            return
        edge = draw.choice(soon[:12])
        self.now, *self.next = [instant for instant in (edge - TICK, edge, edge + TICK) if instant > self.now]

    def a_row_changes(self) -> None:
        self.people[self.draw.choice(list(self.people))] = self.person()
        self.write_contacts()

    def people_come_and_go(self) -> None:
        if len(self.people) > 6:
            del self.people[self.draw.choice(list(self.people))]
        self.people[self.anybody(18)] = self.person()
        self.write_contacts()

    def a_file_is_rewritten(self) -> None:
        name = self.draw.choice(list(self.files))
        rows = self.files[name]
        if len(rows) > 1 and self.draw.random() < 0.6:
            rows.pop(self.draw.randrange(len(rows)))
        else:
            rows[0] = {**rows[0], "contact_id": self.anybody(16)}
        self.write(name)

    def a_file_goes(self, name: str | None = None) -> None:
        names = [name for name in self.files if name.startswith("events")]
        if name or len(names) > 1:
            name = name or self.draw.choice(names)
            del self.files[name]
            self.unlink(name)

    def a_rule_is_edited(self) -> None:
        number = self.draw.randrange(3)
        self.shop.segment(f"s{number}", self.rule([f"s{other}" for other in range(number)]))

    def a_place_in_the_group_changes(self, name: str | None = None) -> None:
        """One of a group gets another rule and another place, or is taken out of the workspace, or is in it again."""
        name = name or self.draw.choice(GROUP)
        if (self.shop.root / "segments" / f"{name}.yml").exists() and self.draw.random() < 0.4:
            self.shop.remove(name)
        else:
            self.shop.segment(name, self.rule([]), priority=f"{{group: g, rank: {3 * self.draw.randint(1, 3) + GROUP.index(name)}}}")

    def a_segment_is_renamed(self) -> None:
        folder, name = self.shop.root / "segments", self.renamed[-1]
        text = (folder / f"{name}.yml").read_text().partition("renamed_from")[0]
        self.shop.remove(name)
        self.renamed.append(f"listed_{len(self.renamed)}")
        (folder / f"{self.renamed[-1]}.yml").write_text(f"{text}renamed_from: [{', '.join(self.renamed[:-1])}]\n")

    def a_list_changes(self) -> None:
        self.a_list_has(*self.draw.sample(range(self.first, self.first + 13), 3))

    def a_list_has(self, *numbers: int) -> None:
        self.shop.list("vip.csv", *(self.listed(number) for number in numbers))

    def somebody_is_merged(self) -> None:
        """Somebody, who may be gone or there, is another contact from now on; the data may be the same."""
        old, new = self.draw.sample(range(self.first, self.first + 18), 2)
        if old not in self.aliases and new not in self.aliases and old not in self.aliases.values():
            self.aliases[old] = new
            self.write_aliases()
            if old in self.people and self.draw.random() < 0.5:
                del self.people[old]
                self.write_contacts()

    def write_aliases(self) -> None:
        lines = [f"{self.listed(old)},{self.listed(new)}\n" for old, new in self.aliases.items()]
        (self.shop.root / "aliases.csv").write_text("old_key,new_key\n" + "".join(lines))

    def somebody_is_forgotten(self) -> None:
        self.shop.state.forget([self.key(self.draw.choice(list(self.people)))], self.now)

    def a_historical_run(self) -> None:
        self.shop.run(self.now - timedelta(hours=3), now=self.now)

    # ------------------------------------------------------------ runs

    def run_both(self) -> None:
        """At one instant, from one state: by itself and in full. All that is kept must be the same; the history goes on from the former."""
        folder = self.shop.root / ".segmentry"
        before, after = self.shop.root / "before", self.shop.root / "after"
        if folder.exists():
            shutil.copytree(folder, before)
        own = self.own()
        folder.rename(after)
        if before.exists():
            before.rename(folder)
        whole = self.kept(self.shop.run(self.now, full=True))
        shutil.rmtree(folder)
        after.rename(folder)
        assert own == whole, self.told()

    def own(self) -> dict[str, Any]:
        """What a run by itself keeps."""
        return self.kept(self.shop.run(self.now))

    def told(self) -> str:
        rules = "\n".join(f"{path.stem}: {path.read_text().strip()}" for path in sorted((self.shop.root / "segments").iterdir()))
        return f"at {self.now}, computed {self.parts[-1:]}\n{rules}"

    def kept(self, run: Recomputed) -> dict[str, Any]:
        """What a run left behind, as plain values."""
        return self.kept_of(run.record.id, run.changes())

    def kept_of(self, run: int, changes: pl.DataFrame) -> dict[str, Any]:
        state = self.shop.state
        record = state.run(run)
        report = record.report
        computed = report["computed"]
        if not computed["full"]:
            self.parts.append(computed)
        elif computed["why"] != "it was asked for":
            self.fulls.append(computed["why"])
        names = sorted({column for chunk in record.members for _, columns in chunk for column in columns})
        order, digests = state.order(record.id), state.digests(record.id)
        files = {(file.source, file.path): state.event_digests(file).sort("position").rows() for file in state.event_files(record.id)}
        with state.catalog.reading() as connection:
            where = reading.paths(connection, {number for chunk in record.members for number, _ in chunk})
        anew = [
            (index, column)
            for index, chunk in enumerate(record.members)
            for number, columns in chunk
            for column in columns
            if where[number].startswith(f"runs/{record.id}/")
        ]
        kept = {
            "status": record.status,
            "written": sorted(anew),
            "members": state.columns(names, record.id).to_dict(as_series=False),
            "order": (order.keys.to_list(), order.present.to_list()),
            "changes": changes.sort("segment", "contact", "change").rows(),
            "types": changes.schema,
            "digests": None if digests is None else digests.to_list(),
            "events": files,
            "segments": report["segments"],
            "contacts": report["contacts"],
            "lists": report["lists"],
            "reads": record.definitions["reads"],
            "figures": record.segments,
        }
        state.close()
        assert record.status in (Status.ACCEPTED, Status.HELD)
        return kept
