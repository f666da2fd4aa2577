"""Checking, also third layer: events one after the other, and events by calendar periods."""

from __future__ import annotations

from dataclasses import dataclass, replace

from segmentry.rules import nodes as n
from segmentry.rules import syntax as s
from segmentry.rules.check_events import EventFunctions
from segmentry.rules.check_names import CONTACT, FormerStep, in_quotes
from segmentry.rules.functions import STEP, Function
from segmentry.rules.times import SECONDS
from segmentry.rules.types import COUNT

MOST_STEPS = 20
PERIODS = {unit.value: unit for unit in (n.Unit.DAY, n.Unit.WEEK, n.Unit.MONTH, n.Unit.QUARTER, n.Unit.YEAR)}
MOST_PERIODS = 1_000
MOST_EVENTS = 1_000_000
SHAPE = "write the steps in their order: sequence(did(a), not did(c), did(b))"


@dataclass
class Sequences(EventFunctions):
    """Checks `sequence` and `active_periods`. Every method answers None when it has reported why there is none."""

    def sequence(self, call: s.Call, function: Function) -> n.Condition | None:
        """`sequence(did(a), not did(c), did(b), within => '7 days', last => '30 days')`."""
        if self.rows is not None:
            hint = "conditions here are about one event at a time"
            return self.error("R505", "`sequence` can't stand inside an event's conditions", call.place, hint)
        fine = self.only_keywords(call, function)
        bounds, within = self.bounds(call), self._within(call)
        if not 2 <= len(call.args) <= MOST_STEPS:
            few = len(call.args) < 2
            hint = SHAPE if few else "count what is done again and again: count(event) >= 3"
            limit = "needs two steps or more" if few else f"has at most {MOST_STEPS} steps, not {len(call.args)}"
            self.error("R540", f"a sequence {limit}", call.place, hint)
            fine = False
        steps = self._steps(call)
        fine = self._are_in_order(call) and fine
        if steps is None or not fine or bounds is None or (within is None and _named(call, "within") is not None):
            return None
        return n.Sequence(steps, within, bounds.last, bounds.since, bounds.until, bounds.during, place=call.place)

    # ------------------------------------------------------------ steps

    def _steps(self, call: s.Call) -> tuple[n.Step, ...] | None:
        """The steps, each of which may name those before it."""
        former: tuple[FormerStep, ...] = ()
        steps: list[n.Step] = []
        for place, node in enumerate(call.args):
            did = _did(node)
            if did is None or did.name != "did":
                self.error("R540", "a step of a sequence is did(...) or not did(...)", node.place, SHAPE)
                continue
            step, name = self._step(did, former, negated=isinstance(node, s.Not))
            if step is not None:
                steps.append(step)
            former += (replace(name, place=place),)
        return tuple(steps) if len(steps) == len(call.args) else None

    def _step(self, call: s.Call, former: tuple[FormerStep, ...], *, negated: bool) -> tuple[n.Step | None, FormerStep]:
        """One step, and what later ones may call it."""
        chosen = self.events(call, STEP, former)
        within = self._within(call)
        own = _named(call, "as")
        name = _event_name(call) if own is None else self._name(own, former, negated=negated)
        called = FormerStep(0, name, None if chosen is None else chosen[2], negated)
        if chosen is None or (within is None and _named(call, "within") is not None) or (own is not None and name is None):
            return None, called
        return n.Step(chosen[0], negated, within, place=call.place), called

    def _name(self, own: s.Named, former: tuple[FormerStep, ...], *, negated: bool) -> str | None:
        """The name that `as =>` gives a step."""
        if negated:
            return self.error("R541", "a step with `not` has no event that a name could be of", own.place, "leave the name out")
        if not isinstance(own.value, s.Text) or not own.value.value:
            return self.error("R509", "a step's name is written as a text literal", own.value.place, "as in as => 'first_one'")
        name = own.value.value
        if name.lower() == CONTACT:
            return self.error("R541", "`contact` is the contact, so no step can be called so", own.value.place, "choose another name")
        if any(step.name == name for step in former):
            return self.error("R541", f"a step before is called `{name}` already", own.value.place, "choose another name")
        return name

    def _within(self, call: s.Call) -> n.Duration | None:
        """`within => '2 days'`; None where it is not given, or reported."""
        named = _named(call, "within")
        duration = None if named is None else self.duration(named.value, "within => '7 days'")
        if named is None or duration is None or duration.unit in SECONDS:
            return duration
        days = {n.Unit.MONTH: 30, n.Unit.YEAR: 365}.get(duration.unit, 1) * duration.amount
        hint = f"write {in_quotes(f'{days} days')}"
        return self.error("R542", f"the time between steps has one length, and a {duration.unit} has several", named.value.place, hint)

    # ------------------------------------------------------------ all steps together

    def _are_in_order(self, call: s.Call) -> bool:
        """Whether the first step is an event, and lengths of time have events at both ends."""
        before = len(self.errors)
        negated = [isinstance(node, s.Not) for node in call.args]
        own = [None if (did := _did(node)) is None else _named(did, "within") for node in call.args]
        if negated and negated[0]:
            hint = "begin with an event that was; for a first one ever write first(event)"
            self.error("R540", "a sequence can't begin with `not`: there is nothing that it would be after", call.args[0].place, hint)
        last = max((place for place, is_not in enumerate(negated) if not is_not), default=-1)
        for place, within in enumerate(own):
            if within is not None and place == 0:
                self.error("R542", "the first step has none before it that `within` could be after", within.place, "put it on a later step")
            elif within is not None and negated[place] and place < last:
                hint = "events with `not` between two steps are those in all the time between; put `within` on the step that follows"
                self.error("R542", "this step ends with the one that follows it", within.place, hint)
        whole = _named(call, "within")
        if whole is not None and len(own) > 1 and negated.count(False) < 2 and None not in own[1:]:
            self.error("R542", "the steps' own `within` leave nothing that this one could bound", whole.place, "leave one of them out")
        return len(self.errors) == before

    # ------------------------------------------------------------ calendar periods

    def active_periods(self, call: s.Call, events: n.Events) -> n.Value | None:
        """`active_periods(event, ..., period => 'week', of => 4, at_least => 1)` over its events."""
        period, of = _named(call, "period"), _named(call, "of")
        if period is None or of is None:
            missing = " and ".join(f"`{key} =>`" for key, given in (("period", period), ("of", of)) if given is None)
            hint = "as in active_periods(order_placed, period => 'week', of => 4) >= 3"
            return self.error("R503", f"`active_periods` needs {missing}", call.place, hint)
        unit = PERIODS.get(period.value.value.lower()) if isinstance(period.value, s.Text) else None
        if unit is None:
            known = ", ".join(in_quotes(word) for word in PERIODS)
            self.error("R543", "this is no calendar period", period.value.place, f"there are {known}")
        count = self._whole_number(of, MOST_PERIODS, "how many periods, the present one included")
        at_least = _named(call, "at_least")
        least = 1 if at_least is None else self._whole_number(at_least, MOST_EVENTS, "how many events make a period count")
        if unit is None or count is None or least is None:
            return None
        return n.ActivePeriods(COUNT, "active_periods", events, None, unit, count, least, place=call.place)

    def _whole_number(self, named: s.Named, most: int, meaning: str) -> int | None:
        """A whole number from 1."""
        text = named.value.text if isinstance(named.value, s.Number) else ""
        digits = text.lstrip("0")
        if digits.isdecimal() and len(digits) <= len(str(most)) and int(digits) <= most:
            return int(digits)
        hint = f"it is {meaning}"
        return self.error("R543", f"`{named.name}` is a whole number from 1 to {most:,}", named.value.place, hint)


def _named(call: s.Call, name: str) -> s.Named | None:
    return next((named for named in call.named if named.name == name), None)


def _did(step: s.Syntax) -> s.Call | None:
    """The call of a step, with `not` or without."""
    inner = step.item if isinstance(step, s.Not) else step
    return inner if isinstance(inner, s.Call) else None


def _event_name(call: s.Call) -> str | None:
    """What a step without a name of its own is called: its event's name."""
    match call.args[0] if call.args else None:
        case s.Text(value=value) if value and not value.endswith("*"):
            return value
        case s.Name(parts=(event,)):
            return event
    return None
