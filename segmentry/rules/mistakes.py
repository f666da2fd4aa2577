"""What people write instead, and what to write: the words of the syntax errors that `arrange` finds.

Every function gives the code, the message, the first and last lexeme to underline, and the help beside the caret.
"""

from __future__ import annotations

from collections.abc import Sequence

from segmentry.rules.operators import LONGEST_PHRASE, PHRASES, SYMBOLS, WITH_PERIOD
from segmentry.rules.suggest import nearest
from segmentry.rules.tokens import Kind, Lexeme

Told = tuple[str, str, Lexeme, Lexeme | None, str | None]

_SUBQUERY = "a rule has no queries of its own; events have `count(event, ...)`, segments `member('name')`"

OPERATOR_SYMBOLS: dict[str, tuple[str, str]] = {
    "==": ("R107", "write `=`"),
    "<=>": ("R107", "write `=`, or `is not set`"),
    "&&": ("R107", "write `and`"),
    "||": ("R107", "write `or`; texts can't be joined"),
    "&": ("R107", "write `and`"),
    "|": ("R107", "write `or`"),
    "!": ("R107", "write `not` before the whole condition"),
    "~~": ("R107", "write `like`"),
    "~~*": ("R107", "write `ilike`"),
    "~*": ("R107", "write `matches '(?i)...'`"),
    "<@": ("R107", "write it the other way round with `contains`"),
    "//": ("R107", "write `floor(a / b)`"),
    "**": ("R107", "there is no power operator"),
    "^": ("R107", "there is no power operator"),
    ":=": ("R107", "write `=`; a keyword argument is written `name => value`"),
    "::": ("R111", "there are no casts; `number(x)` and `date(x)` convert"),
    "->": ("R111", "there are no lambdas and no JSON paths"),
    "->>": ("R111", "there are no lambdas and no JSON paths"),
    ";": ("R111", "a rule is one expression"),
    "[": ("R111", "lists are tested with `contains`, `contains_any` and `contains_all`"),
    "{": ("R111", "there are no structs and no templates"),
    ":": ("R111", "a keyword argument is written `name => value`"),
    "?": ("R111", "a rule has no parameters"),
    "$": ("R102", "a name with such characters stands in double quotes"),
    "@": ("R102", "a name with such characters stands in double quotes"),
    "#": ("R102", "a name with such characters stands in double quotes"),
    ".": ("R105", "a dot stands only inside a name: `contact.country`"),
}
"""Symbols that no rule has, where an operator is due: their code, and what to write."""

OPERAND_SYMBOLS: dict[str, tuple[str, str]] = {
    "*": ("R111", "`count(any_event)` counts all events; fields and events are named one by one"),
    "?": ("R111", "a rule has no parameters; write the value"),
    "$": ("R111", "a rule has no parameters; write the value"),
    ":": ("R111", "a rule has no parameters; write the value"),
    "@": ("R111", "a rule has no parameters; write the value"),
    "[": ("R111", "a list of values is written after `in`: in ('UK', 'US')"),
    "{": ("R111", "there are no structs and no templates"),
    "!": ("R107", "write `not`"),
    ";": ("R111", "a rule is one expression"),
    "`": ("R102", "a name with other characters stands in double quotes"),
    "+": ("R105", "a number needs no `+`"),
    "~": ("R107", "write `not`"),
    "#": ("R102", "a name with such characters stands in double quotes"),
    ".": ("R109", "write a digit before the point: 0.5"),
}
"""Symbols where an operand is due."""

OPERATOR_WORDS: dict[str, tuple[str, str]] = {
    "as": ("R111", "there are no casts and no aliases; `number(x)` converts"),
    "over": ("R111", "there are no windows; `top(...)` and `ntile(...)` rank contacts"),
    "filter": ("R111", "conditions on events stand inside the function: count(event, amount > 5)"),
    "order": ("R111", "there is no order; `first`, `last`, `earliest` and `latest` go by time"),
    "group": ("R111", "there are no groups: every function is about one contact"),
    "collate": ("R111", "`lower(x)` compares without case"),
    "escape": ("R111", "`like` and `ilike` have no escape character; use `contains` or `matches`"),
    "similar": ("R107", "write `matches`"),
    "rlike": ("R107", "write `matches`"),
    "regexp": ("R107", "write `matches`"),
    "glob": ("R107", "write `like` or `matches`"),
    "isnull": ("R107", "write `is not set`"),
    "notnull": ("R107", "write `is set`"),
    "union": ("R111", _SUBQUERY),
    "from": ("R111", _SUBQUERY),
    "where": ("R111", "conditions on events stand inside the function: count(event, amount > 5)"),
    "then": ("R111", "there is no `case`; join conditions with `and`, `or`, `not`"),
    "when": ("R111", "there is no `case`; join conditions with `and`, `or`, `not`"),
    "xor": ("R107", "write `(a or b) and not (a and b)`"),
}
"""Words where an operator is due, that other languages have."""

OPERAND_WORDS: dict[str, str] = {
    "select": _SUBQUERY,
    "with": _SUBQUERY,
    "exists": "write `did(event, ...)`, or `field is set`",
    "case": "there is no `case`; join conditions with `and`, `or`, `not`",
    "distinct": "write `distinct(event.property)`",
    "lambda": "there are no lambdas",
    "interval": "write the duration alone, in quotes: '30 days'",
    "date": "write the date alone, in quotes: '2026-01-31'",
    "timestamp": "write the instant alone, in quotes: '2026-01-31 09:00'",
}
"""Words that are names here, and begin something else in SQL."""

_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "seconds"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "minutes"),
    **dict.fromkeys(("h", "hour", "hours"), "hours"),
    **dict.fromkeys(("d", "day", "days"), "days"),
    **dict.fromkeys(("w", "week", "weeks"), "weeks"),
    **dict.fromkeys(("m", "month", "months"), "months"),
    **dict.fromkeys(("y", "year", "years"), "years"),
}


def shown(lexeme: Lexeme) -> str:
    """A lexeme as it may stand in a message."""
    value = lexeme.value if len(lexeme.value) <= 40 else lexeme.value[:40] + "..."
    if lexeme.kind is Kind.TEXT:
        return f"'{value}'"
    if value == "`":
        return "a backtick"
    return f'`"{value}"`' if lexeme.kind is Kind.QUOTED else f"`{value}`"


def missing(before: Lexeme | None, here: Lexeme | None) -> str:
    """A value or a condition is missing between two lexemes."""
    what = "a condition" if before is None or before.word in ("and", "or", "not") else "a value"
    if before is not None and before.is_symbol("("):
        what = "something"
    if before is None:
        return f"{what} is missing before {shown(here)}" if here else f"{what} is missing"
    if here is None:
        return f"the rule ends where {what} is due, after {shown(before)}"
    return f"{what} is missing between {shown(before)} and {shown(here)}"


def symbol_for_operand(lexeme: Lexeme, before: Lexeme | None, following: Lexeme | None) -> Told:
    """A symbol where a value is due."""
    if (told := OPERAND_SYMBOLS.get(lexeme.value)) is not None:
        code, hint = told
        last = following if lexeme.value in "?$:@." and following is not None and following.start == lexeme.end else None
        return code, f"{shown(lexeme)} can't stand where a value is due", lexeme, last, hint
    if lexeme.value == ")":
        return "R104", "`)` has no `(`", lexeme, None, None
    meant = _MISTYPED.get(before.value + lexeme.value) if before is not None and before.end == lexeme.start else None
    return "R105", missing(before, lexeme), lexeme, None, f"did you mean `{meant}`?" if meant else None


_MISTYPED = {"=<": "<=", "=>": ">=", "=!": "!=", "><": "!=", "===": "="}


def is_query(before: Lexeme | None, lexeme: Lexeme, following: Lexeme | None) -> bool:
    """Whether this is the star of `select * from`, and no multiplication."""
    return lexeme.value == "*" and before is not None and before.word == "select" and following is not None and following.word == "from"


def symbol_for_operator(lexeme: Lexeme, before: Lexeme | None, following: Lexeme | None) -> Told:
    """A symbol, where an operator is due, that is none."""
    if lexeme.value == "=>":
        if before is not None and before.kind is Kind.QUOTED:
            return "R112", "the name of a keyword argument is not quoted", before, lexeme, None
        return "R112", "`=>` stands only after a keyword argument's name", lexeme, None, "write `>=` for at least"
    if lexeme.value == "!" and following is not None and following.is_symbol("~"):
        return "R107", "`!~` is no operator of rules", lexeme, following, "write `does not match`"
    if lexeme.value == "(" and before is not None:
        if before.kind is Kind.TEXT:
            return "R115", "a function's name is not quoted", before, None, None
        return "R106", f"an operator is missing between {shown(before)} and `(`", lexeme, None, None
    if lexeme.value == "*":
        return "R111", "`select` is a name here", before or lexeme, lexeme, _SUBQUERY
    code, hint = OPERATOR_SYMBOLS.get(lexeme.value, ("R107", None))
    return code, f"`{lexeme.value}` is no operator of rules", lexeme, None, hint


def operand_for_operator(lexemes: Sequence[Lexeme], at: int, *, has_operator: bool) -> Told:
    """A word or a value where an operator is due."""
    here, before = lexemes[at], lexemes[at - 1]
    if before.kind is Kind.NUMBER and here.word in _UNITS:
        written = f"'{before.value} {_UNITS[here.word]}'"
        return "R109", "a duration stands in quotes", before, here, f"write {written}"
    if before.kind is Kind.NUMBER and before.end == here.start:
        number = here.value.startswith("_")
        hint = "write it like 5, 2.5 or 1_000" if number else "a name that begins with a digit stands in double quotes"
        return "R109", f"`{before.value}{here.value}` is not a number", before, here, hint
    if before.word in OPERAND_WORDS:
        return "R111", f"`{before.value}` is a name here, and {shown(here)} can't follow it", before, here, OPERAND_WORDS[before.word]
    if here.word in ("is", "not"):
        return _is_or_not(lexemes, at)
    if here.word in OPERATOR_WORDS:
        code, hint = OPERATOR_WORDS[here.word]
        return code, f"`{here.value}` is no operator of rules", here, None, hint
    if here.kind is not Kind.WORD or has_operator:
        return _side_by_side(before, here, has_operator=has_operator)
    return _unknown_word(lexemes, at)


def _is_or_not(lexemes: Sequence[Lexeme], at: int) -> Told:
    """`is`, `is not` and `not` that begin no operator: `status is 'lead'`, `age is greater than 5`."""
    here = lexemes[at]
    words = _words(lexemes, at)
    last = lexemes[at + 1] if words[:2] == ["is", "not"] else here
    rest = words[2:] if last is not here else words[1:]
    if any(tuple(rest[:length]) in PHRASES for length in range(1, len(rest) + 1)):
        hint = "leave `is` out" if here.word == "is" else "put `not` before the whole condition"
    elif len(words) > 1 and last is here and (found := _nearest_phrase(words)) is not None:
        return (
            "R106",
            f"`{' '.join(words[: found[1]])}` is no operator of rules",
            here,
            lexemes[at + found[1] - 1],
            f"did you mean `{found[0]}`?",
        )
    else:
        hint = "write `=`, or `is set`" if words == ["is"] else "write `!=`, or `is not set`"
    return "R106", f"`{' '.join(words[: 1 + (last is not here)])}` is no operator of rules", here, last, hint


def _words(lexemes: Sequence[Lexeme], at: int) -> list[str]:
    """The words from here on, as many as an operator may have."""
    words: list[str] = []
    for lexeme in lexemes[at : at + LONGEST_PHRASE]:
        if lexeme.kind is not Kind.WORD:
            break
        words.append(lexeme.word)
    return words


def _nearest_phrase(words: Sequence[str]) -> tuple[str, int] | None:
    """The operator most like the words, or like the first few of them, and of how many."""
    phrases = [" ".join(phrase) for phrase in PHRASES] + ["and", "or"]
    for length in range(len(words), 0, -1):
        if (found := nearest(" ".join(words[:length]), phrases)) is not None:
            return found, length
    return None


def _side_by_side(before: Lexeme, here: Lexeme, *, has_operator: bool) -> Told:
    literals = {Kind.TEXT, Kind.NUMBER}
    if before.kind in literals and here.kind in literals:
        touching = before.kind is here.kind is Kind.TEXT
        hint = "a quote inside a text is written twice: 'it''s'" if touching else "write `in (a, b)` for several values"
        return "R110", f"two values stand side by side: {shown(before)} and {shown(here)}", before, here, hint
    if has_operator:
        hint = "join conditions with `and` or `or`" + ("; a quote inside a text is written twice" if before.kind is Kind.TEXT else "")
        return "R106", f"{shown(here)} can't follow a complete condition", here, None, hint
    return "R106", f"an operator is missing between {shown(before)} and {shown(here)}", here, None, "write `=`, or another operator"


def _unknown_word(lexemes: Sequence[Lexeme], at: int) -> Told:
    """A word that is no operator: one misspelt, or the rest of a name that needs quotes."""
    here, before, words = lexemes[at], lexemes[at - 1], _words(lexemes, at)
    if (found := _nearest_phrase(words)) is not None:
        phrase, length = found
        message = f"`{' '.join(words[:length])}` is no operator of rules"
        return "R106", message, here, lexemes[at + length - 1], f"did you mean `{phrase}`?"
    hint = "after a value stands an operator, `and` or `or`"
    if before.kind is Kind.WORD:
        hint = f'a name of two words stands in double quotes: "{before.value} {here.value}"'
    return "R106", f"{shown(here)} is no operator of rules", here, None, hint


def chain(text: str, start: int, operator: Lexeme, second: Sequence[Lexeme], rest: Sequence[Lexeme]) -> Told:
    """A second comparison in one condition: `a < b < c`. `second` is its operator, `rest` what follows."""
    first, last = second[0], second[-1]
    one, two = text[operator.start : operator.end], text[first.start : last.end]
    left, middle = text[start : operator.start].strip(), text[operator.end : first.start].strip()
    ends = next((lexeme.start for lexeme in rest if lexeme.word in ("and", "or") or lexeme.is_symbol(")", ",")), None)
    right = text[last.end : ends].strip() if ends is not None or len(rest) <= 1 else ""
    hint = "join two comparisons with `and`"
    if one in SYMBOLS and two in SYMBOLS and left and middle and right and len(left + middle + right) <= 60 and "(" not in left + right:
        hint = f"write `{left} {one} {middle} and {middle} {two} {right}`"
    return "R108", f"comparisons can't be chained: `{one}` and then `{two}`", operator, last, hint


def no_list(lexemes: Sequence[Lexeme], at: int, length: int) -> Told:
    """`in`, of so many words with its `not`, and no bracket after it."""
    first, last = lexemes[at], lexemes[at + length - 1]
    opening = lexemes[at + length] if at + length < len(lexemes) else None
    if opening is not None and opening.kind is Kind.WORD and (found := _nearest_phrase(_words(lexemes, at))) is not None:
        phrase, words = found
        if phrase in WITH_PERIOD and words > length:
            message = "`in` takes a list in round brackets, or a calendar period"
            return "R113", message, first, lexemes[at + words - 1], f"did you mean `{phrase}`?"
    if opening is not None and opening.kind in (Kind.TEXT, Kind.NUMBER):
        value = f"'{opening.value}'" if opening.kind is Kind.TEXT else opening.value
        return "R113", "`in` takes a list in round brackets", first, opening, f"write `in ({value})`"
    if opening is not None and opening.is_symbol("["):
        return "R113", "`in` takes a list in round brackets", first, opening, "write `in ('UK', 'US')`"
    return "R113", "`in` takes a list in round brackets", first, last, "write `in ('UK', 'US')`; a list field is tested with `contains`"


def comma(before: Lexeme | None, lexeme: Lexeme, following: Lexeme | None) -> Told:
    """A comma outside of a function's brackets and of a list."""
    numbers = before is not None and following is not None and before.kind is following.kind is Kind.NUMBER
    if numbers and before is not None and following is not None and len(following.value) == 3:
        return "R109", "a number has no commas", before, following, f"write `{before.value}_{following.value}`"
    return "R106", "a comma stands only between the arguments of a function and the values of `in`", lexeme, None, None


def misplaced_keyword(lexeme: Lexeme, arrow: Lexeme, *, in_call: bool) -> Told:
    """`name =>` elsewhere than at the beginning of an argument."""
    hint = f"write `{lexeme.value} >= ...` for at least; keyword arguments stand inside a function's brackets"
    if in_call:
        hint = "a comma stands before a keyword argument"
    return "R112", f"`{lexeme.value} =>` can't stand here", lexeme, arrow, hint
