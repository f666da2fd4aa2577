"""A run's answers: in full, or for those contacts alone that something may have changed, put into what the accepted run has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import polars as pl

from segmentry.engine.affected import affected_queries
from segmentry.engine.comparing import Question
from segmentry.engine.counters import Counters
from segmentry.engine.digests import Kept, Reads
from segmentry.engine.evaluation import Evaluation
from segmentry.engine.former import FormerRun
from segmentry.engine.incremental import Division, Way, divide, too_many
from segmentry.engine.keeping import changed_since, keep
from segmentry.engine.membership import Memberships, chunk_bounds
from segmentry.engine.plan import Plan, make_plan
from segmentry.engine.positions import Placement, in_order, is_compacted, place, relocated, same_place, with_merges
from segmentry.engine.prepared import Prepared
from segmentry.engine.snapshot import PinnedFile
from segmentry.engine.state.records import LIST_COLUMN
from segmentry.engine.storing import NOTHING, CarriedOver

Restricted = Callable[[pl.Series], Evaluation]
"""An evaluation of the contacts with these keys, open as long as the run is."""


@dataclass(frozen=True)
class Computed:
    """The answers of a run over all positions. `session` answers further questions about who has moved."""

    plan: Plan
    placement: Placement
    memberships: Memberships
    session: Evaluation | Partial
    told: Mapping[str, Any]
    """How it was computed, as plain values for the report."""
    kept: Kept | None = None
    """What it keeps of its sources, where that is known by then."""
    over: CarriedOver = NOTHING
    """What of the accepted run's columns stands."""


def in_full(
    question: Question,
    prepared: Prepared,
    evaluation: Evaluation,
    placed: Callable[[pl.Series], Placement],
    why: str,
    digested: Sequence[str] = (),
) -> Computed:
    """Everything, for everybody. `placed` gives the contacts' place in the lasting order, `digested` has what digests are kept of."""
    plan = make_plan(question.conditions, prepared.snapshot, prepared.clock)
    evaluation.prepare_by_row(plan, digested)
    placement = placed(evaluation.keys())
    evaluation.align(placement.alignment)
    memberships = evaluation.memberships(plan, question.lists)
    return Computed(plan, placement, memberships, evaluation, {"full": True, "why": why})


def in_part(
    question: Question, prepared: Prepared, former: FormerRun, evaluation: Evaluation, restricted: Restricted, reads: Reads
) -> Computed | str:
    """What may have changed since the accepted run; or why all has to be computed for everybody. `reads` as `keeping.reads_of_rules`."""
    division = divide(prepared, former, reads)
    if not [name for name in division.parts if division.parts[name].way is not Way.ALL]:
        return "every segment has to be computed for all contacts"
    keys = evaluation.keys_of(affected_queries(division.passed, prepared.snapshot, prepared.clock))
    partial = Partial(question, prepared, former, division, evaluation, keys)
    placement = partial.placement
    if is_compacted(placement):
        return "so many contacts are gone that their order is made anew"
    kept = keep(prepared, former, partial, placement, reads)
    if division.changed:
        changed = changed_since(prepared, former, kept, partial, placement)
        if changed is None:
            return "the accepted run's digests can't be compared with those of now"
        keys = pl.concat([keys, placement.alignment.keys.gather(changed).cast(keys.dtype)]).unique()
    if too_many(keys, placement.alignment.size):
        return f"{len(keys):,} contacts are affected"
    partial.some = restricted(keys) if len(keys) else None
    told = {"full": False, "affected": len(keys), "segments": division.told(prepared.rules.conditions)}
    return Computed(partial.plan, placement, partial.answers(), partial, told, kept, partial.over)


@dataclass
class Partial:
    """A run's answers where the accepted run has most of them.

    `whole` evaluates all contacts, as far as they are asked for. `passed` has the keys of those that the clock has passed. `some`
    evaluates those that something may have changed, None where there are none.
    """

    question: Question
    prepared: Prepared
    former: FormerRun
    division: Division
    whole: Evaluation
    passed: pl.Series
    some: Evaluation | None = None
    _aligned: bool = False
    _answered: Mapping[str, pl.Series] = field(default_factory=dict)

    @cached_property
    def plan(self) -> Plan:
        """Of all that a full run would be asked."""
        return make_plan(self.question.conditions, self.prepared.snapshot, self.prepared.clock)

    @cached_property
    def placement(self) -> Placement:
        """The contacts' place in the lasting order, which a snapshot of the very same file has kept."""
        order, aliases = self.former.order, self.prepared.aliases
        if self.division.changed.contacts:
            if self._for_all is not None:
                self.whole.prepare(self._for_all[1])
            placement = place(order.keys, order.present, order.record.kind, self.whole.keys(), order.record.kind, compact=False)
        else:
            placement = same_place(order.keys, order.present, order.record.kind, self.passed)
        return with_merges(placement, None if aliases is None else aliases.mapping)

    def answers(self) -> Memberships:
        """The columns of all that is asked. What is asked about a segment that is carried over has no answer: nobody has moved there."""
        columns = dict(self._kept)
        if self._for_all is not None:
            asked, plan = self._for_all
            found = self._evaluating_all(plan).memberships(plan, asked.lists)
            # what others refer to is computed along with them, and is no better than what is kept
            columns |= {name: found.column(name) for name in found.names if name not in columns}
        if self.some is not None and self.division.names(Way.AFFECTED):
            asked, plan = self._about(Way.AFFECTED)
            self.some.prepare(plan)
            columns |= self._put_in(self.some.memberships(plan, asked.lists), columns)
        self._answered = columns
        return self._in_chunks({name: columns.get(name, self._nobody) for name in self.question.conditions})

    def memberships(self, plan: Plan, lists: Mapping[str, pl.Series] | None = None) -> Memberships:
        """The answers of a further plan about contacts that have moved."""
        if self.some is None or self.division.names(Way.ALL):
            return self._evaluating_all(plan).memberships(plan, lists)
        return self._in_chunks(self._put_in(self.some.memberships(plan, lists), {}))

    def contact_digests(self, columns: Sequence[str]) -> pl.Series:
        """As of an evaluation of all contacts."""
        return self._evaluating_all().contact_digests(columns)

    def event_digests(
        self, source: int, files: Sequence[PinnedFile], columns: Sequence[str], only: pl.Series | None = None
    ) -> list[pl.DataFrame]:
        """As of an evaluation of all contacts."""
        return self._evaluating_all().event_digests(source, files, columns, only)

    @cached_property
    def over(self) -> CarriedOver:
        """The columns of the accepted run that stand, but for those who have been evaluated, and those who are gone since."""
        order, present = self.former.order, self.placement.alignment.present
        nobody = pl.Series(dtype=pl.UInt32())
        evaluated = nobody if self.some is None else self._positions
        gone = (relocated(order.present, self.placement) & ~present).arg_true() if self.division.changed.contacts else nobody
        return CarriedOver(self._before, pl.concat([evaluated, gone]).unique())

    @property
    def counters(self) -> Counters:
        """What both evaluations did. What only a reader of everything can count is what the accepted run says of it."""
        counted = [one.counters for one in (self.whole, self.some) if one is not None]
        events = self.former.record.report["events"]
        seconds: dict[str, float] = {}
        for name, value in (item for one in counted for item in one.seconds.items()):
            seconds[name] = seconds.get(name, 0.0) + value
        return replace(
            counted[0],
            queries=sum(one.queries for one in counted),
            rows=sum(one.rows for one in counted),
            bytes=sum(one.bytes for one in counted),
            seconds=seconds,
            unknown_events={index: source["unknown_contacts"] for index, source in enumerate(events)},
            timeless_events={index: source["without_time"] for index, source in enumerate(events)},
            unknown_keys={path: self._unknown_keys(path) for path in self.prepared.lists},
        )

    # ------------------------------------------------------------ within

    @cached_property
    def _before(self) -> dict[str, pl.Series]:
        """The columns of the accepted run that stand, but for affected contacts, as that run has them; who came is in none yet."""
        names = sorted(name for name, part in self.division.parts.items() if part.way is not Way.ALL)
        return {name: relocated(column, self.placement) for name, column in zip(names, self.former.read(names).get_columns(), strict=True)}

    @cached_property
    def _kept(self) -> dict[str, pl.Series]:
        """The same without those who are gone since."""
        if not self.division.changed.contacts:
            return self._before
        return {name: column & self.placement.alignment.present for name, column in self._before.items()}

    @cached_property
    def _for_all(self) -> tuple[Question, Plan] | None:
        """What is computed for all contacts, and its plan."""
        return self._about(Way.ALL) if self.division.names(Way.ALL) else None

    def _about(self, way: Way) -> tuple[Question, Plan]:
        """What is asked about the segments that come about so, and its plan."""
        asked = self.question.about(self.division.names(way))
        if asked.conditions.keys() == self.question.conditions.keys():
            return self.question, self.plan
        return asked, make_plan(asked.conditions, self.prepared.snapshot, self.prepared.clock)

    @cached_property
    def _nobody(self) -> pl.Series:
        return pl.repeat(False, self.placement.alignment.size, dtype=pl.Boolean(), eager=True)

    @cached_property
    def _positions(self) -> pl.Series:
        """Of each row of `some`, in its order, the position in the lasting order."""
        assert self.some is not None
        keys, own = self.placement.alignment.keys, self.some.keys()
        at = keys.is_in(own.cast(keys.dtype).implode()).fill_null(value=False).arg_true()
        known = pl.DataFrame({"key": keys.gather(at), "position": at})
        found = pl.DataFrame({"key": own.cast(keys.dtype)}).join(known, on="key", how="left", maintain_order="left")["position"]
        assert not found.has_nulls()  # the very files have no key that the order has not
        return found

    def _put_in(self, found: Memberships, columns: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
        """What was found of the affected contacts, in these columns; nobody else is in a column that is not there."""
        at, patched = self._positions, {}
        for name in found.names:
            before, now = columns.get(name, self._nobody), found.column(name)
            patched[name] = before if before.gather(at).equals(now) else before.clone().scatter(at, now)
        return patched

    def _in_chunks(self, columns: Mapping[str, pl.Series]) -> Memberships:
        bounds = chunk_bounds(self.placement.alignment.size)
        named = [column.alias(name) for name, column in columns.items()]
        return Memberships(tuple(pl.DataFrame([column.slice(first, end - first) for column in named]) for first, end in bounds))

    def _evaluating_all(self, plan: Plan | None = None) -> Evaluation:
        """The evaluation of all contacts, put into the lasting order when it is first needed."""
        if plan is not None:
            self.whole.prepare(plan)
        if not self._aligned:
            order = self.placement.alignment
            self.whole.align(order if self.division.changed.contacts else in_order(order, self.whole.keys()))
            self._aligned = True
        return self.whole

    def _unknown_keys(self, path: str) -> int:
        """How many keys of a static list are no contacts."""
        known = int(self._answered[LIST_COLUMN + path].sum())
        return self.prepared.lists[path].drop_nulls().n_unique() - known
