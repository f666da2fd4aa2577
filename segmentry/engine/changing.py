"""Who changed in a run and why: every segment beside the run whose computation of it is accepted.

That is the newest accepted run, whose question is part of the run's own plan. Segments that a guard has held since are
compared with older runs; each of these has a question and a plan of its own, asked only if somebody moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import polars as pl

from segmentry.engine import digests as digesting
from segmentry.engine.comparing import Answers, Question, explained, question
from segmentry.engine.evaluation import Evaluation
from segmentry.engine.former import FormerRun, Group, groups_of
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.membership import Memberships
from segmentry.engine.otherwise import Scenario
from segmentry.engine.plan import Plan, make_plan
from segmentry.engine.positions import Placement, aligned, placement_of, survivors
from segmentry.engine.prepared import Prepared
from segmentry.engine.snapshot import Snapshot
from segmentry.engine.storing import changes_of, returned_moves
from segmentry.errors import SourceError
from segmentry.rules.ground import Clock
from segmentry.rules.nodes import Condition

Opened = Callable[[Snapshot, Clock], Evaluation]
"""An evaluation over other sources, or by another clock, than the run's."""


class Session(digesting.Digester, Protocol):
    """The part of a run's evaluation that answers further questions about who has moved."""

    def memberships(self, plan: Plan, lists: Mapping[str, pl.Series] | None = None) -> Memberships: ...


@dataclass(frozen=True)
class Comparison:
    """A run beside the accepted ones. `newest` has the accepted memberships, whichever run computed them."""

    workspace: LoadedWorkspace
    prepared: Prepared
    newest: FormerRun
    opened: Opened

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        return groups_of(self.newest, self.prepared.rules.conditions)

    @cached_property
    def firsts(self) -> tuple[str, ...]:
        """The segments that no run has accepted yet."""
        return tuple(sorted(name for name in self.prepared.rules.conditions if name not in self.newest.segments))

    def question(self) -> Question:
        """What the run's own plan answers."""
        return self._question(self.groups[0])

    def changes(
        self, evaluation: Session, answers: Answers, moves: pl.DataFrame, kept: digesting.Kept, placement: Placement
    ) -> pl.DataFrame:
        """The frame of changes, without the entries of segments computed for the first time. `moves` are those of the segments' columns."""
        keys = placement.alignment.keys
        returned = self.newest.returned(self.prepared.rules.conditions)
        gone: dict[str, pl.Series] = {}
        moved = [moves]
        for name in returned:
            frame, gone[name] = returned_moves(self.newest, name, answers.memberships.column(name), placement)
            moved.append(frame)
        moves = pl.concat(moved)
        if keys.has_nulls():
            moves = moves.filter(keys.gather(moves["position"]).is_not_null())
        decided = []
        for group in self.groups:
            part = moves.filter(pl.col("segment").is_in(sorted(group.names)))
            if part.is_empty() and group is not self.groups[0]:
                continue
            beside = placement if group.former is self.newest else placement_of(group.former.order.keys, placement)
            known = answers if group is self.groups[0] else self._asked(evaluation, group, beside)
            decided.append(self._explained(evaluation, group, known, part, kept, beside, returned))
        return changes_of(pl.concat(decided), keys, gone)

    def _question(self, group: Group) -> Question:
        prepared = self.prepared
        only = None if len(self.groups) == 1 else group.names
        return question(self.workspace, prepared.rules, prepared.lists, group.former, prepared.schema, prepared.clock, only)

    def _asked(self, evaluation: Session, group: Group, placement: Placement) -> Answers:
        """The answers about segments that are compared with an older run, from a plan of their own."""
        asked = self._question(group).about(group.names)
        plan = make_plan(asked.conditions, self.prepared.snapshot, self.prepared.clock)
        return answered(asked, evaluation.memberships(plan, asked.lists), placement, self.opened)

    def _explained(
        self,
        evaluation: Session,
        group: Group,
        answers: Answers,
        moves: pl.DataFrame,
        kept: digesting.Kept,
        placement: Placement,
        returned: list[str],
    ) -> pl.DataFrame:
        """The moves of one group with their causes."""
        prepared = self.prepared

        def differs(positions: pl.Series) -> pl.Series:
            return self._differs(evaluation, group.former, kept, placement, positions)

        def ask(conditions: Mapping[str, Condition], lists: Mapping[str, pl.Series]) -> Memberships:
            return evaluation.memberships(make_plan(conditions, prepared.snapshot, prepared.clock), lists)

        return explained(moves, answers, group.former, placement, returned, differs, ask)

    def _differs(
        self, evaluation: Session, former: FormerRun, kept: digesting.Kept, placement: Placement, positions: pl.Series
    ) -> pl.Series:
        """Whether these contacts' rows, or their events, differ from a former run's."""
        state, snapshot = former.state, self.prepared.snapshot
        digests = state.digests(former.record.id)
        rows = digesting.contacts_differ(former.snapshot.contacts, former.reads, digests, snapshot.contacts, evaluation, placement)
        if former is self.newest:
            events = digesting.events_differ(state, snapshot, kept.events, kept.reads, former.reads, evaluation, placement)
        else:
            events = digesting.events_differ_since(state, snapshot, former.event_files, former.reads, kept, evaluation, placement)
        found = pl.repeat(False, len(positions), dtype=pl.Boolean(), eager=True)
        for differing in (rows, events, survivors(former.order.present, placement)):
            found = found | (differing.gather(positions) if isinstance(differing, pl.Series) else differing)
        return found


def answered(asked: Question, memberships: Memberships, placement: Placement, opened: Opened) -> Answers:
    """A plan's answers, and those of former definitions that need an evaluation of their own."""
    if asked.apart is None:
        return Answers(asked, memberships, {})
    apart = asked.apart
    plan = make_plan(apart.conditions, apart.snapshot, apart.clock)
    try:
        with opened(apart.snapshot, apart.clock) as evaluation:
            evaluation.prepare(plan)
            evaluation.align(aligned(placement.alignment.keys, evaluation.keys()))
            found = evaluation.memberships(plan, apart.lists)
    except SourceError:
        everybody = frozenset(asked.by_definitions.columns)
        return Answers(replace(asked, can_not_run=everybody, by_definitions=Scenario(), by_both=Scenario()), memberships, {})
    return Answers(asked, memberships, {name: found.column(name).head(placement.alignment.size) for name in found.names})
