"""Checking, fifth layer: `top`, `bottom` and `ntile`, which are about a contact's place among all contacts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from segmentry.rules import nodes as n
from segmentry.rules import syntax as s
from segmentry.rules.check_comparisons import Comparisons
from segmentry.rules.check_events import reads_clock_only
from segmentry.rules.check_names import in_quotes
from segmentry.rules.check_values import a_kind
from segmentry.rules.functions import FUNCTIONS
from segmentry.rules.types import Kind, exact

ORDERED = (Kind.NUMBER, Kind.TEXT, Kind.DATE, Kind.TIMESTAMP)
"""Kinds that have an order: what `by` may be."""
GROUPED = (*ORDERED, Kind.BOOLEAN)
"""Kinds that `per` may be."""
MOST_PARTS = 1_000_000
MOST_DIGITS = 18
"""Digits of a number of contacts; a larger one means all of them, as nowhere are so many."""

_SHARE = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*%\s*", re.ASCII)


@dataclass
class Populations(Comparisons):
    """Checks functions of all contacts together. Every method answers None when it has reported why there is none."""

    def of_contacts(self, call: s.Call) -> bool:
        """Whether we are outside event functions and lists; reported if not."""
        if self.element is not None:
            self.not_of_elements(call)
            return False
        if self.rows is None:
            return True
        hint = "it is about the contact: put it beside the event function"
        self.error("R505", f"`{call.name}` can't stand inside an event's conditions", call.place, hint)
        return False

    def foremost(self, call: s.Call) -> n.Condition | None:
        """`top(1000, by => x)`, `bottom('5%', by => x, among => condition, per => y)`."""
        if not self.of_contacts(call) or not self.has_arguments(call, 1, 1):
            return None
        before = len(self.errors)
        population = self._population(call, falling=call.name == "top")
        first = call.args[0]
        count, share = None, None
        if isinstance(first, s.Text):
            share = self.share(first)
        else:
            count = self._whole(call, 1)
        if len(self.errors) > before or population is None:
            return None
        return n.Foremost(population, count, share, place=call.place)

    def ranked(self, call: s.Call) -> n.Value | None:
        """`ntile(5, by => x, among => condition, per => y)`."""
        if not self.of_contacts(call) or not self.has_arguments(call, 1, 1):
            return None
        population = self._population(call, falling=False)
        parts = self._whole(call, 2, MOST_PARTS)
        if population is None or parts is None:
            return None
        return n.Ranked(exact(len(str(parts))), population, n.Standing.PART, parts, place=call.place)

    def share(self, node: s.Syntax) -> Fraction | None:
        """`'10%'` as a part of one."""
        if not isinstance(node, s.Text):
            hint = f"write {in_quotes(node.text + '%')}" if isinstance(node, s.Number) else "as in '10%'"
            return self.error("R407", "a share is written as a text literal", node.place, hint)
        found = _SHARE.fullmatch(node.value)
        share = Fraction(found[1]) / 100 if found else Fraction(0)
        if not 0 < share <= 1:
            hint = "write a percent above 0% and up to 100%, as in '10%'"
            if node.value.strip().isdecimal():
                hint = f"write '{node.value.strip()}%', or a number of contacts without quotes"
            return self.error("R407", f"`{node.value}` is no share of the contacts", node.place, hint)
        return share

    def _whole(self, call: s.Call, least: int, most: int | None = None) -> int | None:
        """The first argument: a whole number that is written as one."""
        first = call.args[0]
        example = f"as in {FUNCTIONS[call.name].signature}"
        if not isinstance(first, s.Number) or not first.text.isdigit():
            also = "" if call.name == "ntile" else ", or a percent in quotes"
            return self.error("R509", f"`{call.name}` begins with a whole number{also}", first.place, example)
        digits = first.text.lstrip("0")
        number = int(digits or "0") if len(digits) <= MOST_DIGITS else 10**MOST_DIGITS
        if number < least or (most is not None and number > most):
            wanted = f"write {least} or more" if most is None else f"write a number from {least} to {most:,}"
            what = "parts" if call.name == "ntile" else "contacts"
            return self.error("R409", f"{first.text} {what} can't be asked for", first.place, wanted)
        return number

    def _population(self, call: s.Call, *, falling: bool) -> n.Population | None:
        """The keyword arguments; every problem with them is told."""
        before = len(self.errors)
        given = {named.name: named.value for named in call.named}
        by = None
        if "by" not in given:
            hint = f"by what? It is {FUNCTIONS[call.name].signature}"
            self.error("R503", f"`{call.name}` needs `by`", call.place, hint)
        else:
            by = self._varying(call, "by", given["by"], lambda value: value.type.kind in ORDERED)
        among = self.condition(given["among"]) if "among" in given else None
        per = self._varying(call, "per", given["per"], lambda value: value.type.kind in GROUPED) if "per" in given else None
        if len(self.errors) > before or by is None:
            return None
        return n.Population(by, among, per, falling, place=call.place)

    def _varying(self, call: s.Call, key: str, node: s.Syntax, fits: Callable[[n.Value], bool]) -> n.Value | None:
        """`by` or `per`: a value in which contacts differ, of a fitting kind."""
        value = self.value(node)
        if value is None:
            return None
        if not fits(value):
            hint = "a number, text, date or timestamp has an order" if key == "by" else "a list can't name a group"
            if key == "by" and value.type.kind is Kind.BOOLEAN:
                hint = "a number, text, date or timestamp has an order; who is in question is said by `among =>`"
            return self.error("R504", f"`{key}` of `{call.name}` can't be {a_kind(value.type)}", node.place, hint)
        if reads_clock_only(value):
            hint = f"write {key} => {node.value} without quotes" if isinstance(node, s.Text) else "name a field, or count events"
            return self.error("R510", f"`{self.written(node, 'this')}` is the same for every contact", node.place, hint)
        return value
