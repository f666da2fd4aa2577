"""The builder form: a tree of field, operator and value, as YAML or JSON gives it, read into the language's own tree.

One entry is one of: a group (`match`, `rules`), a field (`field`, `operator`, `value`), an event and its measure
(`event`, ...), events one after the other (`sequence`, ...), a list and its elements (`list`, `where`, `has` or `count`),
a segment (`segment`, `member`), or a text (`rule`). Values are taken as written: `2026-01-31` is a text that the checker
reads as a date, `NO` is Norway. A field, event or property is named whole, whatever characters are in it; inside `where`
of an event, `contact.` before a field's name makes it the contact's; inside `where` of a list, `element` is its element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from segmentry.errors import RuleError
from segmentry.rules.arrange import MAX_CONDITIONS, MAX_NESTING, Path, arrange
from segmentry.rules.builder_messages import kind_of, listed, meant, shown, step
from segmentry.rules.builder_populations import population
from segmentry.rules.builder_schema import builder_schema
from segmentry.rules.builder_sequences import read_sequence
from segmentry.rules.builder_values import Values
from segmentry.rules.builder_words import (
    ENTRIES,
    EVENT_KEYS,
    MATCHES,
    MEASURES,
    QUANTIFIERS,
    SEGMENT_KEYS,
    TIME_KEYS,
    Measure,
)
from segmentry.rules.builder_writer import to_builder
from segmentry.rules.diagnostics import Place
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.syntax import And, Call, Name, Named, Not, Or, Syntax, Text
from segmentry.rules.tokens import MAX_PROBLEMS, tokenise

__all__ = ["builder_schema", "parse_builder", "to_builder"]


def parse_builder(mapping: object, path: Path = ()) -> Syntax:
    """What a builder mapping says. Raises RuleError with every problem, each with the path to where it stands.

    A place in a `{rule: "..."}` entry also has offsets into that text.
    """
    reader = _Reader()
    with deep_recursion():
        syntax = reader.entry(mapping, path, 0)
        if reader.problems or syntax is None:
            raise RuleError(reader.problems[:MAX_PROBLEMS])
        _check_limits(syntax, path)
    return syntax


def _check_limits(syntax: Syntax, path: Path) -> None:
    """A builder form has the limits of its text, in which `a or b and c` nests without brackets."""
    text = to_text(syntax)
    try:
        arrange(tokenise(text), text)
    except RuleError as error:
        raise RuleError(replace(problem, place=Place(path=path), rule=None) for problem in error.diagnostics) from None


@dataclass
class _Reader(Values):
    """Reads entries; a problem gives None for its entry and reading goes on with the next."""

    entries: int = 0

    # ------------------------------------------------------------ entries

    def entry(self, entry: object, path: Path, depth: int) -> Syntax | None:
        self._count(path, depth)
        if not isinstance(entry, Mapping):
            hint = 'write `{field: ..., operator: ..., value: ...}`, or `{rule: "..."}` for a rule\'s text'
            self.problem("R120", f"a rule's entry is a mapping, not {kind_of(entry)}", path, hint)
            return None
        kinds = [kind for kind in ENTRIES if kind in entry]
        if len(kinds) != 1:
            self._no_one_kind(entry, kinds, path)
            return None
        kind = kinds[0]
        known = self.only_known(entry, ENTRIES[kind], kind, path)
        syntax = self._of_kind(kind, entry, path, depth)
        return syntax if known else None

    def only_known(self, entry: Mapping[object, object], known: Sequence[str], beside: str, path: Path) -> bool:
        """Whether an entry has only the keys of its kind; told if not."""
        wrong = [key for key in entry if key not in known]
        for key in wrong:
            self.problem("R121", f"{shown(key)} can't stand beside `{beside}`", (*path, step(key)), meant(key, known))
        return not wrong

    def _of_kind(self, kind: str, entry: Mapping[object, object], path: Path, depth: int) -> Syntax | None:
        match kind:
            case "rules":
                return self._group(entry, path, depth)
            case "event":
                return self._event(entry, path, depth)
            case "sequence":
                return read_sequence(self, entry, path, depth)
            case "field":
                return self.comparison(self.name(entry, "field", path), entry, path)
            case "list":
                return self._list(entry, path, depth)
            case "segment":
                return self._segment(entry, path)
            case "top" | "bottom":
                return population(self, kind, entry, path, depth)
            case "ntile":
                return self.comparison(population(self, kind, entry, path, depth), entry, path)
            case _:
                return self._rule(entry, path)

    def _count(self, path: Path, depth: int) -> None:
        """Refuse at once what only a loop or a bomb of YAML aliases can be."""
        self.entries += 1
        if depth > 3 * MAX_NESTING:
            self.problem("R703", f"the rules are nested deeper than {MAX_NESTING}", path)
            raise RuleError(self.problems[-1:])
        if self.entries > 2 * MAX_CONDITIONS:
            self.problem("R702", f"there are more than {MAX_CONDITIONS:,} conditions", path[:1])
            raise RuleError(self.problems[-1:])

    def _no_one_kind(self, entry: Mapping[object, object], kinds: list[str], path: Path) -> None:
        if kinds:
            self.problem("R123", f"`{kinds[0]}` and `{kinds[1]}` can't stand in one entry", path, "write two entries")
            return
        guesses = (meant(key, ENTRIES) for key in entry)
        hint = next((guess for guess in guesses if guess), None)
        self.problem("R122", f"an entry needs one of {listed(ENTRIES)}", path, hint)

    def _group(self, entry: Mapping[object, object], path: Path, depth: int) -> Syntax | None:
        match = entry.get("match", "all")
        rules = entry["rules"]
        if not isinstance(match, str) or match not in MATCHES:
            self.problem("R125", f"`match` is {listed(MATCHES, 'or')}", (*path, "match"), meant(match, MATCHES))
            match = "all"
        if not isinstance(rules, Sequence) or isinstance(rules, (str, bytes)):
            self.problem("R120", f"`rules` is a list of entries, not {kind_of(rules)}", (*path, "rules"), "begin every entry with `- `")
            return None
        if not rules:
            self.problem("R126", "`rules` is empty", (*path, "rules"), 'everybody is `{rule: "true"}`')
            return None
        items = [self.entry(item, (*path, "rules", index), depth + 1) for index, item in enumerate(rules)]
        whole = [item for item in items if item is not None]
        if len(whole) < len(items):
            return None
        place = Place(path=path)
        if match == "all":
            return _all(whole, place)
        joined = _any(whole, place)
        return Not(joined, place=place) if match == "none" else joined

    def _segment(self, entry: Mapping[object, object], path: Path) -> Syntax | None:
        before = len(self.problems)
        segment = self.string(entry["segment"], (*path, "segment"))
        asked = [key for key in SEGMENT_KEYS if key in entry]
        if len(asked) > 1:
            self.problem("R123", f"`{asked[0]}` and `{asked[1]}` can't stand in one entry", (*path, asked[1]), "write two entries")
        name = asked[0] if asked else "member"
        wanted = self.flag(entry, name, path)
        named = self._segment_times(entry, name, path)
        if segment is None or wanted is None or len(self.problems) > before:
            return None
        here = Place(path=(*path, "segment"))
        call = Call(name, (Text(segment, place=here),), named, place=here)
        return call if wanted else Not(call, place=here)

    def _segment_times(self, entry: Mapping[object, object], name: str, path: Path) -> tuple[Named, ...]:
        """`for` of a membership; `last`, `since`, `until` of who came or left."""
        takes = ("for",) if name == "member" else TIME_KEYS
        named: list[Named] = []
        for key in ("for", *TIME_KEYS):
            here = (*path, key)
            if key not in entry:
                continue
            if key not in takes:
                hint = "beside `member` stands `for`" if name == "member" else "`last`, `since` and `until` bound it in time"
                self.problem("R123", f"`{name}` has no `{key}`", here, hint)
            elif (value := self.scalar(entry[key], here)) is not None:
                named.append(Named(key, value, place=Place(path=here)))
        return tuple(named)

    def _rule(self, entry: Mapping[object, object], path: Path) -> Syntax | None:
        text = self.string(entry["rule"], (*path, "rule"))
        if text is None:
            return None
        try:
            return parse_text(text, (*path, "rule"))
        except RuleError as error:
            self.problems.extend(error.diagnostics)
            return None

    # ------------------------------------------------------------ lists

    def _list(self, entry: Mapping[object, object], path: Path, depth: int) -> Syntax | None:
        """`has`, or `count`, of a list's elements that `where` holds for."""
        field = self.name(entry, "list", path)
        conditions = self.conditions(entry, path, depth)
        if "where" not in entry:
            self.problem("R122", "a list needs a `where`, in which `element` is its element", path)
        given = [key for key in ("has", "count") if key in entry]
        if len(given) != 1:
            code, message = ("R123", "`has` and `count` can't stand in one entry") if given else ("R122", "a list needs `has` or `count`")
            self.problem(code, message, path, f"`has` is {listed(QUANTIFIERS, 'or')}")
            return None
        has = entry.get("has", "how_many")
        if "has" in entry and (not isinstance(has, str) or has not in QUANTIFIERS):
            self.problem("R125", f"`has` is {listed(QUANTIFIERS, 'or')}", (*path, "has"), meant(has, QUANTIFIERS))
            return None
        here = Place(path=(*path, "list"))
        call = Call(str(has), (field, *conditions), place=here) if field is not None and conditions else None
        return call if "has" in entry else self._comparison_of_count(call, entry, path)

    # ------------------------------------------------------------ events

    def _event(self, entry: Mapping[object, object], path: Path, depth: int) -> Syntax | None:
        call = self.event_call(entry, path, depth)
        return None if call is None else self._measured(call, entry, path)

    def event_call(self, entry: Mapping[object, object], path: Path, depth: int) -> Call | None:
        """The event function of an entry, without what it is compared with."""
        before = len(self.problems)
        event = self.event_name(entry, path)
        name = self._measure_name(entry, path)
        conditions = self.conditions(entry, path, depth)
        if event is None or name is None or len(self.problems) > before:
            return None
        measure = MEASURES[name]
        parts = [event] if isinstance(event, str) else []
        if measure.property and not parts:
            self.problem("R123", f"`{name}` needs one event's property, not the beginning of names", (*path, "event"))
            return None
        if measure.property:
            found = self.way(entry["property"], (*path, "property")) if "property" in entry else None
            if "property" not in entry:
                self.problem("R122", f"`{name}` needs a `property`", path, f"of which property of `{event}`?")
            if found is None:
                return None
            parts.extend(found)
        elif "property" in entry:
            self.problem("R123", f"`{name}` has no `property`", (*path, "property"))
        named = self._bounds(entry, measure, name, path)
        here = Place(path=(*path, "event"))
        first: Syntax = Name(tuple(parts), place=here) if isinstance(event, str) else event
        call = Call(name, (first, *conditions), named, place=here)
        return call if len(self.problems) == before else None

    def event_name(self, entry: Mapping[object, object], path: Path) -> str | Text | None:
        """The event of an entry: its whole name, or `{prefix: order_}` for every event whose name begins so."""
        written, here = entry["event"], (*path, "event")
        if not isinstance(written, Mapping):
            return self.string(written, here)
        if set(written) != {"prefix"}:
            self.problem("R125", "an event is its name, or `{prefix: ...}` for every event whose name begins so", here)
            return None
        prefix = self.string(written["prefix"], (*here, "prefix"))
        return None if prefix is None else Text(f"{prefix}*", place=Place(path=here))

    def _measure_name(self, entry: Mapping[object, object], path: Path) -> str | None:
        """The function an event entry stands for: said by `measure`, by `count`, or else `did`."""
        given = [key for key in ("did", "count", "measure") if key in entry]
        if len(given) > 1:
            self.problem("R123", f"`{given[0]}` and `{given[1]}` can't stand in one entry", (*path, given[1]))
            return None
        if given != ["measure"]:
            return given[0] if given else "did"
        measure = entry["measure"]
        if not isinstance(measure, str) or measure not in MEASURES:
            hint = meant(measure, MEASURES) or f"there are {listed(MEASURES)}"
            self.problem("R127", f"there is no measure {shown(measure)}", (*path, "measure"), hint)
            return None
        return measure

    def conditions(self, entry: Mapping[object, object], path: Path, depth: int) -> tuple[Syntax, ...]:
        """What an entry's `where` asks of the events."""
        if "where" not in entry:
            return ()
        where = self.entry(entry["where"], (*path, "where"), depth + 1)
        if where is None:
            return ()
        return where.items if isinstance(where, And) else (where,)

    def _bounds(self, entry: Mapping[object, object], measure: Measure, name: str, path: Path) -> tuple[Named, ...]:
        """`last`, `since`, `until`, and what the measure itself takes by name."""
        for key in EVENT_KEYS:
            if key in entry and key not in measure.keys:
                self.problem("R123", f"`{name}` has no `{key}`", (*path, key))
        return self.named(entry, (*TIME_KEYS, *measure.keys), path)

    def named(self, entry: Mapping[object, object], keys: Sequence[str], path: Path) -> tuple[Named, ...]:
        """Those of some keys that an entry has, as keyword arguments."""
        read = [(key, self.scalar(entry[key], (*path, key))) for key in keys if key in entry]
        return tuple(Named(key, value, place=Place(path=(*path, key))) for key, value in read if value is not None)

    def _measured(self, call: Call, entry: Mapping[object, object], path: Path) -> Syntax | None:
        """The measure, compared; `did` is a condition by itself."""
        if call.name != "did":
            if "count" not in entry:
                return self.comparison(call, entry, path)
            return self._comparison_of_count(call, entry, path)
        for key in ("operator", "value"):
            if key in entry:
                self.problem("R123", f"`did` has no `{key}`", (*path, key), "`count` counts; `measure` names another function")
                return None
        did = self.flag(entry, "did", path)
        if did is None:
            return None
        return call if did else Not(call, place=call.place)

    def _comparison_of_count(self, call: Call | None, entry: Mapping[object, object], path: Path) -> Syntax | None:
        count, here = entry["count"], (*path, "count")
        if not isinstance(count, Mapping):
            self.problem("R120", f"`count` is a mapping, not {kind_of(count)}", here, "write `count: {operator: at least, value: 2}`")
            return None
        beside = [key for key in ("operator", "value") if key in entry]
        for key in beside:
            self.problem("R123", f"`{key}` stands inside `count`", (*path, key))
        wrong = [key for key in count if key not in ("operator", "value")]
        for key in wrong:
            self.problem("R121", f"{shown(key)} can't stand in `count`", (*here, step(key)), meant(key, ("operator", "value")))
        return None if beside or wrong else self.comparison(call, count, here)


def _all(items: list[Syntax], place: Place) -> Syntax:
    flat = [part for item in items for part in (item.items if isinstance(item, And) else (item,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat), place=place)


def _any(items: list[Syntax], place: Place) -> Syntax:
    flat = [part for item in items for part in (item.items if isinstance(item, Or) else (item,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat), place=place)
