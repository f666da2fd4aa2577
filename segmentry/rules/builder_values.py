"""The builder form's smaller parts: operators, values, and the names of fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from segmentry.rules.arrange import Path
from segmentry.rules.builder_messages import kind_of, shown
from segmentry.rules.builder_words import OPERATOR_WORDS
from segmentry.rules.diagnostics import Diagnostic, Place
from segmentry.rules.operators import PHRASES, Meaning, Shape
from segmentry.rules.suggest import did_you_mean
from segmentry.rules.syntax import Between, Boolean, In, Infix, IsSet, Name, Negative, Not, Number, Syntax, Text
from segmentry.rules.tokens import NOT_TEXT

_LONGEST_NUMBER = 1_000
"""Bits of a whole number that are still written out; the checker refuses far shorter ones."""


@dataclass
class Values:
    """Reads what stands within entries. Every method answers None when it has told why there is nothing."""

    problems: list[Diagnostic] = field(default_factory=list)

    def problem(self, code: str, message: str, path: Path, hint: str | None = None) -> None:
        self.problems.append(Diagnostic(code, message, place=Place(path=path), help=hint))

    # ------------------------------------------------------------ comparisons and values

    def comparison(self, left: Syntax | None, entry: Mapping[object, object], path: Path) -> Syntax | None:
        """`operator` and `value` of an entry, after what stands on their left."""
        meaning = self._operator(entry, path)
        if meaning is None:
            return None
        operator, here = meaning.operator, (*path, "value")
        made: Syntax | None
        if operator.shape is Shape.POSTFIX:
            if "value" in entry:
                self.problem("R123", f"`{entry['operator']}` takes no value", here)
                return None
            made = None if left is None else IsSet(left, place=left.place)
        elif "value" not in entry:
            self.problem("R122", f"`{entry['operator']}` needs a `value`", path)
            return None
        elif operator.shape is Shape.INFIX:
            right = self._value(entry["value"], here)
            made = None if left is None or right is None else Infix(operator.name, left, right, place=left.place)
        else:
            made = self._listed(left, operator.shape, entry["value"], here)
        if made is None:
            return None
        return Not(made, place=made.place) if meaning.negated else made

    def _operator(self, entry: Mapping[object, object], path: Path) -> Meaning | None:
        if "operator" not in entry:
            self.problem("R122", "an `operator` is missing", path, "`equals`, `greater than`, `contains`, `is set`, ...")
            return None
        written = entry["operator"]
        words = " ".join(written.lower().split()) if isinstance(written, str) else ""
        meaning = OPERATOR_WORDS.get(words)
        if meaning is None:
            self.problem("R124", f"there is no operator {shown(written)}", (*path, "operator"), _operator_meant(words))
        return meaning

    def _listed(self, left: Syntax | None, shape: Shape, value: object, path: Path) -> Syntax | None:
        """The list of `between` (two values) or `in` (one or more)."""
        two = shape is Shape.BETWEEN
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            hint = "write `[1, 5]`" if two else "write `[UK, US]`"
            self.problem("R125", f"the value is a list, not {kind_of(value)}", path, hint)
            return None
        if two and len(value) != 2:
            self.problem("R125", f"`between` takes two values, not {len(value)}", path, "write `[1, 5]`; both ends are in")
            return None
        if not value:
            self.problem("R113", "the list has no values", path)
            return None
        items = [self._value(item, (*path, index)) for index, item in enumerate(value)]
        whole = tuple(item for item in items if item is not None)
        if left is None or len(whole) < len(items):
            return None
        return Between(left, *whole, place=left.place) if two else In(left, whole, place=left.place)

    def _value(self, value: object, path: Path) -> Syntax | None:
        """A scalar, `{field: x}`, or `{step: s, field: x}` for what a former step's event has."""
        if not isinstance(value, Mapping):
            return self.scalar(value, path)
        if set(value) == {"step", "field"}:
            step, parts = self.string(value["step"], (*path, "step")), self.way(value["field"], (*path, "field"))
            return None if step is None or parts is None else Name((step, *parts), place=Place(path=path))
        if set(value) != {"field"}:
            self.problem("R125", "a value is a text, a number, true, false or `{field: name}`", path)
            return None
        return self.name(value, "field", path)

    def scalar(self, value: object, path: Path) -> Syntax | None:
        place = Place(path=path)
        if isinstance(value, bool):
            return Boolean(value, place=place)
        if isinstance(value, int):
            if value.bit_length() <= _LONGEST_NUMBER:
                return _number(int.__repr__(value), place)
            self.problem("R125", "a number has at most 38 digits", path)
            return None
        if isinstance(value, float):
            if math.isfinite(value):
                return _number(float.__repr__(value), place)
            self.problem("R125", "a number must be finite", path)
            return None
        if isinstance(value, str):
            text = self.string(value, path, empty=True)
            return None if text is None else Text(text, place=place)
        hint = "`is set` and `is not set` ask for it" if value is None else "write a text, a number, true or false"
        self.problem("R125", f"a value can't be {kind_of(value)}", path, hint)
        return None

    def name(self, entry: Mapping[object, object], key: str, path: Path) -> Name | None:
        """A field by its whole name, or by the way to it; `contact.` before it is the language's own."""
        parts = self.way(entry[key], (*path, key))
        if parts is None:
            return None
        prefix, dot, rest = parts[0].partition(".")
        if len(parts) == 1 and dot and rest and prefix == "contact":
            parts = (prefix, rest)
        return Name(parts, place=Place(path=(*path, key)))

    def way(self, value: object, path: Path) -> tuple[str, ...] | None:
        """A whole name, or `[address, city]`: the way to a field within a struct."""
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            written = self.string(value, path)
            return None if written is None else (written,)
        if len(value) < 2:
            self.problem("R125", "a list that names a field has two names or more", path, "a field of a struct is written [address, city]")
            return None
        parts = [self.string(part, (*path, index)) for index, part in enumerate(value)]
        whole = tuple(part for part in parts if part is not None)
        return whole if len(whole) == len(parts) else None

    def flag(self, entry: Mapping[object, object], key: str, path: Path) -> bool | None:
        """`did:` or `member:`, true where not said."""
        value = entry.get(key, True)
        if isinstance(value, bool):
            return value
        self.problem("R125", f"`{key}` is true or false, not {kind_of(value)}", (*path, key))
        return None

    def string(self, value: object, path: Path, *, empty: bool = False) -> str | None:
        if not isinstance(value, str):
            self.problem("R125", f"`{path[-1]}` is a text, not {kind_of(value)}", path, "put it in quotes")
        elif value == "" and not empty:
            self.problem("R125", f"`{path[-1]}` is empty", path)
        elif found := NOT_TEXT.search(value):
            self.problem("R102", f"the text holds U+{ord(found.group()):04X}, which is no character of a text", path)
        else:
            return value
        return None


def _number(written: str, place: Place) -> Syntax:
    number = Number(written.removeprefix("-"), place=place)
    return Negative(number, place=place) if written.startswith("-") else number


def _operator_meant(words: str) -> str | None:
    with_period = PHRASES.get(tuple(words.split()))
    if with_period is not None and with_period.value is not None:
        return f"write `{'not ' * with_period.negated}during`, and `value: {with_period.value}`"
    from_symbol = next((known for known, meaning in OPERATOR_WORDS.items() if words in meaning.operator.symbols), None)
    return f"write `{from_symbol}`" if from_symbol else did_you_mean(words, OPERATOR_WORDS)
