"""A world as files, and what the state says after each step."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import select

from segmentry.engine.loading import LoadedWorkspace, load
from segmentry.engine.state import State, ledger
from segmentry.engine.state.holds import holds, pauses
from segmentry.engine.state.records import HoldRecord
from segmentry.engine.state.schema import DELIVERIES, ENROLLMENTS
from tests.histories.records import Limits, Place
from tests.histories.world import Key, Split, World, text_of
from tests.state.conftest import empty_state

DESTINATIONS = """destinations:
  crm: {type: memory, batch: 2, parallel: 2}
  once: {type: memory, repeat_safe: false}
  letters: {type: memory, needs_address: true, batch: 3}
"""
REPEAT_SAFE = frozenset({"crm", "letters"})


def utc(at: datetime) -> datetime:
    """A time of the model, which counts in UTC without a zone."""
    return at.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Seen:
    """What the state says: `rows` by id, `deliveries` by id, baseline (segment, sequence, contact), open holds, pauses."""

    rows: Mapping[str, Any]
    deliveries: Mapping[str, Any]
    baselines: frozenset[tuple[str, str, str]]
    holds: tuple[HoldRecord, ...]
    pauses: frozenset[str]
    attached: frozenset[tuple[str, str]]


@dataclass
class Folder:
    """The workspace."""

    root: Path
    place: Place
    limits: Limits
    destinations: str = DESTINATIONS
    _written: dict[str, object] = field(default_factory=dict)

    @property
    def state_folder(self) -> Path:
        return self.root / ".segmentry" / "default"

    def begin(self) -> None:
        """An empty state, as `init` makes it."""
        self.root.mkdir(parents=True)
        shutil.copytree(empty_state(), self.state_folder)

    def state(self) -> closing[State]:
        return closing(State.open(self.state_folder, self.place.workspace))

    def loaded(self) -> LoadedWorkspace:
        return load(self.root).require()

    # ------------------------------------------------------------ writing

    def write(self, world: World) -> None:
        """Whatever changed."""
        self._changed("rows", world.rows, lambda: self._people(world.rows))
        for name, keys in world.lists.items():
            self._changed(name, keys, lambda name=name, keys=keys: self._list(name, keys))
        if world.aliases:
            self._changed("aliases", world.aliases, lambda: self._aliases(world.aliases))
        config = self._config(world)
        self._changed("config", config, lambda: (self.root / "segmentry.yml").write_text(config))
        texts = {f"{one.name}.yml": self._segment(world, name) for name, one in world.segments.items()}
        folder = self.root / "segments"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.name not in texts:
                path.unlink()
        for name, text in texts.items():
            (folder / name).write_text(text)

    def _changed(self, what: str, value: object, write: Any) -> None:
        if what not in self._written or self._written[what] != value:
            write()
            self._written[what] = value

    def _people(self, rows: Mapping[Key, Any]) -> None:
        kind = pl.Int64() if self.place.kind == "integer" else pl.String()
        names = ("spend", "country", "joined", "standing", "email")
        frame = pl.DataFrame(
            {"id": list(rows), **{name: [getattr(row, name) for row in rows.values()] for name in names}},
            schema={
                "id": kind,
                "spend": pl.Int64(),
                "country": pl.String(),
                "joined": pl.Datetime("us"),
                "standing": pl.String(),
                "email": pl.String(),
            },
        )
        frame.write_parquet(self.root / "contacts.parquet")

    def _list(self, name: str, keys: frozenset[Key]) -> None:
        (self.root / name).write_text("".join(f"{key}\n" for key in sorted(keys)))

    def _aliases(self, aliases: Mapping[Key, Key]) -> None:
        (self.root / "aliases.csv").write_text("old_key,new_key\n" + "".join(f"{old},{new}\n" for old, new in aliases.items()))

    def _config(self, world: World) -> str:
        limits = self.limits
        aliases = ", aliases: aliases.csv" if world.aliases else ""
        sequences = "".join(
            f"  {one.name}: {{destination: {one.destination}, expires: {one.expires} hours, while_member: {str(one.while_member).lower()},"
            f" paused: {str(one.paused).lower()}, renamed_from: [{', '.join(one.formerly)}], {one.words}}}\n"
            for one in world.sequences.values()
        )
        suppress = "" if world.suppress is None else f'suppress: "{text_of(world.suppress, world)}"\n'
        return (
            f"version: 1\nid: {self.place.workspace}\ncontacts: {{path: contacts.parquet, key: id, email: email{aliases}}}\n{suppress}"
            f"guards:\n  snapshot: {{shrinks: {limits.shrinks}%}}\n"
            f"  segment: {{enters: {limits.segment[0]}%, leaves: {limits.segment[0]}%, contacts: {limits.segment[1]}}}\n"
            f"  suppress: {{leaves: {limits.suppress[0]}%, contacts: {limits.suppress[1]}}}\n"
            f"  sequence: {{contacts: {limits.sequence}}}\n"
            f"environments: {{default: {{deliver: {str(world.deliver).lower()}}}}}\n{self.destinations}sequences:\n{sequences}"
        )

    def _segment(self, world: World, name: str) -> str:
        one = world.segments[name]
        lines = [f"list: {one.list}" if one.rule is None else f'where: "{text_of(one.rule, world)}"']
        lines += [f"{word}: {value}" for word, value in (("include", one.include), ("exclude", one.exclude)) if value]
        lines += [f"renamed_from: [{', '.join(one.formerly)}]"] if one.formerly else []
        lines += [f"split: {_split(one.split)}"] if one.split else []
        lines += ["enroll:"] if one.enroll else []
        for policy in one.enroll:
            again = f"{{after: {policy.again} days}}" if isinstance(policy.again, int) else policy.again
            causes = sorted({*policy.on, *(["time"] if "data" in policy.on else [])})
            again += "" if policy.split is None else f", split: [{', '.join(policy.split)}]"
            said = f"again: {again}, backfill: {str(policy.backfill).lower()}, on: [{', '.join(causes)}]"
            lines.append(f"  - {{sequence: {world.sequences[policy.sequence].name}, {said}}}")
        lines += ["sync:"] if one.sync else []
        for sync in one.sync:
            fields = ", fields: {SPEND: spend}" if sync.fields else ""
            fields += "" if sync.split is None else f", split: [{', '.join(sync.split)}]"
            lines.append(f"  - {{destination: {sync.destination}, {sync.target}, mode: {sync.mode}, existing: {sync.existing}{fields}}}")
        return "\n".join(lines) + "\n"

    # ------------------------------------------------------------ reading

    def seen(self) -> Seen:
        with self.state() as state, state.catalog.reading() as connection:
            rows = {row.id: row for row in connection.execute(select(ENROLLMENTS))}
            deliveries = {row.id: row for row in connection.execute(select(DELIVERIES))}
            files = ledger.stored_rows(state.folder, connection)
            baseline = [
                row
                for file in files
                for row in file.filter(pl.col("number") == 0).select("segment", "sequence", "contact").collect().iter_rows()
            ]
            assert len(baseline) == len(set(baseline)), "baseline twice"
            found, paused, attached = holds(connection), pauses(connection), ledger.attachments(connection)
        return Seen(rows, deliveries, frozenset(baseline), tuple(found), frozenset(paused), frozenset(attached))


def _split(split: Split) -> str:
    """A split as it is written."""
    groups = [
        f"{name}: {percent}%" if name == first else f"{name}: {{share: {percent}%, renamed_from: {first}}}"
        for name, first, percent in split.shares
    ]
    return "{" + ", ".join([*([f"salt: {split.salt}"] if split.salt else []), *groups]) + "}"
