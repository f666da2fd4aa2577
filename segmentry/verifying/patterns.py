"""RE2's regular expressions read a second time: a small parser, and a machine that goes through a text once.

Only what is found matters, not where, so greedy and lazy repetition are the same. A construct whose meaning here could
differ from RE2's (Unicode classes, letters of rare scripts under `(?i)`, literal quotes) is refused by `UnreadPattern`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

MOST_STEPS = 20_000
"""A pattern that becomes a longer machine is refused; counted repetition writes its part out."""

DEEPEST = 100
LAST = 0x10FFFF


class UnreadPattern(ValueError):  # noqa: N818 - what it says goes into a report
    """A pattern that is not read here; the message says what in it."""


Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Set:
    """One character, as ranges of code points."""

    ranges: Ranges
    negated: bool = False

    def has(self, code: int) -> bool:
        return any(low <= code <= high for low, high in self.ranges) is not self.negated


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after the other."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the parts."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """From `least` to `most` times; None is any number."""

    part: Part
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Edge:
    """A place between characters: `start`, `end`, `line start`, `line end`, `word`, `no word`."""

    kind: str


Part = Set | Sequence | Choice | Repeat | Edge

DIGIT: Ranges = ((48, 57),)
WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
CLASSES = {"d": DIGIT, "w": WORD, "s": SPACE}
NAMED: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)), "alpha": ((65, 90), (97, 122)), "ascii": ((0, 127),), "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)), "digit": DIGIT, "graph": ((33, 126),), "lower": ((97, 122),), "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)), "space": ((9, 13), (32, 32)), "upper": ((65, 90),), "word": WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}  # fmt: skip
ESCAPED = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
EDGES = {"A": "start", "z": "end", "b": "word", "B": "no word"}

# ---------------------------------------------------------------- upper and lower case

KNOWN_LETTERS = ((0, 0x24F), (0x370, 0x52F), (0x1E00, 0x1FFF))
"""Latin, Greek and Cyrillic: their pairs of upper and lower case have long been settled."""


@lru_cache(maxsize=1)
def _same_letters() -> dict[int, tuple[int, ...]]:
    """The code points that are one letter when case is ignored, by each of them; one to one, as simple case folding has it."""
    groups: dict[str, list[int]] = {}
    for code in range(0x10000):
        groups.setdefault(_folded(chr(code)), []).append(code)
    return {code: tuple(group) for group in groups.values() if len(group) > 1 for code in group}


def _folded(letter: str) -> str:
    for form in (letter.casefold(), letter.lower()):
        if len(form) == 1:
            return form
    return letter


def _ignoring_case(ranges: Ranges) -> Ranges:
    found = list(ranges)
    for low, high in ranges:
        if not any(first <= low and high <= last for first, last in KNOWN_LETTERS):
            raise UnreadPattern("letters of rarer scripts whose case is ignored")
        found += [(same, same) for code in range(low, high + 1) for same in _same_letters().get(code, ())]
    return tuple(found)


# ---------------------------------------------------------------- reading


@dataclass(slots=True)
class Reading:
    """A pattern as it is read: where, and which flags hold."""

    text: str
    at: int = 0
    ignore_case: bool = False
    many_lines: bool = False
    dot_all: bool = False
    depth: int = 0

    def next(self, what: str) -> bool:
        """Whether the pattern goes on with this, which is passed then."""
        if self.text.startswith(what, self.at):
            self.at += len(what)
            return True
        return False

    def one(self) -> str:
        if self.at >= len(self.text):
            raise UnreadPattern("an end in the middle")
        self.at += 1
        return self.text[self.at - 1]

    # ------------------------------------------------------------ parts

    def choice(self) -> Part:
        """Up to the end of the group or of the pattern."""
        parts = [self.sequence()]
        while self.next("|"):
            parts.append(self.sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def sequence(self) -> Part:
        parts: list[Part] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            part = self.atom()
            if part is not None:
                parts.append(self.repeated(part))
            elif self.bounds() is not None:
                raise UnreadPattern("a repetition of flags")
        return Sequence(tuple(parts))

    def repeated(self, part: Part) -> Part:
        bounds = self.bounds()
        if bounds is None:
            return part
        self.next("?")  # lazy: it finds the same texts
        if self.bounds() is not None:
            raise UnreadPattern("a repetition of a repetition")
        return Repeat(part, *bounds)

    def bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.next(sign):
                return bounds
        if not self.text.startswith("{", self.at):
            return None
        inside, closed, _ = self.text[self.at + 1 :].partition("}")
        least, comma, most = inside.partition(",")
        digits = [part for part in (least, most) if part]
        if not closed or not least or not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in digits):
            return None  # a brace that is a character
        self.at += len(inside) + 2
        return int(least), int(most) if most else None if comma else int(least)

    def atom(self) -> Part | None:
        """One thing that can be repeated; None for flags, which stand for nothing."""
        sign = self.one()
        match sign:
            case "(":
                return self.group()
            case "[":
                return self.bracket()
            case ".":
                return Set(() if self.dot_all else ((10, 10),), negated=True)
            case "^":
                return Edge("line start" if self.many_lines else "start")
            case "$":
                return Edge("line end" if self.many_lines else "end")
            case "*" | "+" | "?":
                raise UnreadPattern("a repetition of nothing")
            case "\\":
                return self.escape()
        return self.letters(((ord(sign), ord(sign)),))

    def letters(self, ranges: Ranges, negated: bool = False) -> Set:
        return Set(_ignoring_case(ranges) if self.ignore_case else ranges, negated)

    def group(self) -> Part | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise UnreadPattern("groups nested too deep")
        outer = self.ignore_case, self.many_lines, self.dot_all
        if self.next("?") and self.flags():
            self.depth -= 1
            return None  # flags for the rest of the group around
        part = self.choice()
        if not self.next(")"):
            raise UnreadPattern("a group that is not closed")
        self.ignore_case, self.many_lines, self.dot_all = outer
        self.depth -= 1
        return part

    def flags(self) -> bool:
        """What stands after `(?`: whether it was flags alone, closed; else a group follows."""
        if self.next("P<") or (self.next("<") and self.text[self.at : self.at + 1] not in ("=", "!")):
            self.at = self.text.find(">", self.at) + 1
            if not self.at:
                raise UnreadPattern("a group's name that is not closed")
            return False
        on = True
        while (sign := self.one()) not in ":)":
            match sign:
                case "-":
                    on = False
                case "i":
                    self.ignore_case = on
                case "m":
                    self.many_lines = on
                case "s":
                    self.dot_all = on
                case "U":
                    pass  # which of several ways is taken; a text is found by any
                case _:
                    raise UnreadPattern(f"`(?{sign}`")
        return sign == ")"

    def escape(self) -> Part:
        sign = self.one()
        if sign in EDGES:
            return Edge(EDGES[sign])
        if sign.lower() in CLASSES:
            return self.letters(CLASSES[sign.lower()], negated=sign.isupper())
        code = self.code(sign)
        return self.letters(((code, code),))

    def code(self, sign: str) -> int:
        """The character that a backslash and `sign` stand for."""
        if sign in ESCAPED:
            return ESCAPED[sign]
        if sign == "x":
            digits = self.text[self.at : self.at + 2]
            length = 2
            if digits.startswith("{"):
                digits, _, _ = self.text[self.at + 1 :].partition("}")
                length = len(digits) + 2
            if not digits or any(digit not in "0123456789abcdefABCDEF" for digit in digits) or int(digits, 16) > LAST:
                raise UnreadPattern("a code that is none")
            self.at += length
            return int(digits, 16)
        if sign == "_" or (sign.isascii() and not sign.isalnum()):
            return ord(sign)
        raise UnreadPattern(f"`\\{sign}`")

    def bracket(self) -> Part:
        negated = self.next("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self.next("]"):
            first = False
            if self.text.startswith("[:", self.at) and ":]" in self.text[self.at :]:
                name = self.text[self.at + 2 : self.text.index(":]", self.at)]
                self.at += len(name) + 4
                ranges += _named(name)
                continue
            if self.text.startswith("\\", self.at) and self.text[self.at + 1 : self.at + 2].lower() in CLASSES:
                self.at += 1
                sign = self.one()
                ranges += CLASSES[sign] if sign in CLASSES else _others(CLASSES[sign.lower()])
                continue
            low = high = self.in_bracket()
            if self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.in_bracket()
            if high < low:
                raise UnreadPattern("a range the wrong way round")
            ranges.append((low, high))
        return self.letters(tuple(ranges), negated)

    def in_bracket(self) -> int:
        sign = self.one()
        return self.code(self.one()) if sign == "\\" else ord(sign)


def _named(name: str) -> Ranges:
    found = NAMED.get(name.removeprefix("^"))
    if found is None:
        raise UnreadPattern(f"the class `{name}`")
    return _others(found) if name.startswith("^") else found


def _others(ranges: Ranges) -> Ranges:
    """Everything outside ranges that are in order."""
    found, start = [], 0
    for low, high in ranges:
        if start < low:
            found.append((start, low - 1))
        start = high + 1
    return (*found, (start, LAST))


# ---------------------------------------------------------------- the machine


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a character to take, an edge to stand at, or (neither) only where to go on."""

    takes: Set | Edge | None
    then: tuple[int, ...]


class Machine:
    """Finds whether a text has a part that a pattern describes, in one pass however the pattern is made."""

    def __init__(self, part: Part) -> None:
        self.steps: list[Step] = [Step(None, ())]  # the first is the end
        self.start = self._made(part, 0)

    def _step(self, takes: Set | Edge | None, *then: int) -> int:
        if len(self.steps) >= MOST_STEPS:
            raise UnreadPattern("a pattern that repeats too much")
        self.steps.append(Step(takes, then))
        return len(self.steps) - 1

    def _made(self, part: Part, after: int) -> int:
        """The step at which `part` begins, going on with `after`."""
        match part:
            case Set() | Edge():
                return self._step(part, after)
            case Sequence(parts=parts):
                for inner in reversed(parts):
                    after = self._made(inner, after)
                return after
            case Choice(parts=parts):
                return self._step(None, *[self._made(inner, after) for inner in parts])
        return self._repeat(part, after)

    def _repeat(self, part: Repeat, after: int) -> int:
        if part.most is None:
            loop = self._step(None)
            self.steps[loop] = Step(None, (self._made(part.part, loop), after))
            after = loop
        else:
            end = after
            for _ in range(part.most - part.least):
                after = self._step(None, self._made(part.part, after), end)
        for _ in range(part.least):
            after = self._made(part.part, after)
        return after

    def finds(self, text: str) -> bool:
        """Whether some part of the text fits."""
        here: set[int] = set()
        for at in range(len(text) + 1):
            here = self._reached({*here, self.start}, text, at)
            if 0 in here:
                return True
            if at < len(text):
                code = ord(text[at])
                taken = (self.steps[number] for number in here)
                here = {then for step in taken if isinstance(step.takes, Set) and step.takes.has(code) for then in step.then}
        return False

    def _reached(self, starts: Iterable[int], text: str, at: int) -> set[int]:
        """Every step that can be stood at without taking a character."""
        found: set[int] = set()
        pending = list(starts)
        while pending:
            number = pending.pop()
            if number in found:
                continue
            found.add(number)
            step = self.steps[number]
            if step.takes is None or (isinstance(step.takes, Edge) and AT[step.takes.kind](text, at)):
                pending.extend(step.then)
        return found


def _is_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and any(low <= ord(text[at]) <= high for low, high in WORD)


def _at_word_edge(text: str, at: int) -> bool:
    return _is_word(text, at - 1) is not _is_word(text, at)


AT: dict[str, Callable[[str, int], bool]] = {
    "start": lambda _, at: at == 0,
    "end": lambda text, at: at == len(text),
    "line start": lambda text, at: at == 0 or text[at - 1] == "\n",
    "line end": lambda text, at: at == len(text) or text[at] == "\n",
    "word": _at_word_edge,
    "no word": lambda text, at: not _at_word_edge(text, at),
}


@lru_cache(maxsize=512)
def regular(pattern: str) -> Machine:
    """The machine of an RE2 pattern. UnreadPattern for what is not read here."""
    reading = Reading(pattern)
    part = reading.choice()
    if reading.at < len(pattern):
        raise UnreadPattern("a bracket that closes nothing")
    return Machine(part)


@lru_cache(maxsize=512)
def like(pattern: str) -> Machine:
    """The machine of a `like` pattern, for whole texts: `%` is any run, `_` any one code point, nothing else is special."""
    anything = Set((), negated=True)
    parts: list[Part] = [Repeat(anything, 0, None) if sign == "%" else anything if sign == "_" else _plain(sign) for sign in pattern]
    return Machine(Sequence((Edge("start"), *parts, Edge("end"))))


def _plain(sign: str) -> Set:
    return Set(((ord(sign), ord(sign)),))
