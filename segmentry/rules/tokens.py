"""A rule's text as lexemes: what sqlglot's stock DuckDB tokenizer finds, each looked at again in the text itself.

The tokenizer knows several hundred keywords, joins some of them into one token (`order by`, `user-defined`) and takes
comments of other languages; none of that is a rule's. So only the places of its tokens are believed, and its
unescaping of texts and quoted names: what a lexeme *is* follows from the characters that stand there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from sqlglot import Token, TokenType
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import TokenError

from segmentry.errors import RuleError
from segmentry.rules.diagnostics import Diagnostic, Place

MAX_BYTES = 64 * 1024
MAX_TOKENS = 5_000
MAX_PROBLEMS = 50
"""After so many problems a rule is read no further: each shows the whole line it stands in."""

_DUCKDB = DuckDB()

_GUARD = "( "
"""Goes before the text: the tokenizer takes a whole rule that begins with `fetch` or `reset` for one command."""

WORD = re.compile(r"[^\W\d]\w*")
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_NUMBER_AS_WRITTEN = re.compile(r"\d+(?:_\d+)*(?:\.\d+(?:_\d+)*)?(?:[eE][+-]?\d+)?")
_PIECE = re.compile(r"[^\W\d]\w*|\S")
_COMMENT = re.compile(r"--[^\n\r]*|/\*.*?\*/", re.DOTALL)
_CLOSED = re.compile(r"""--[^\n\r]*|/\*.*?\*/|'(?>(?:[^']|'')*)'|"(?>(?:[^"]|"")*)\"""", re.DOTALL)
NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


class Kind(Enum):
    """What a lexeme is, by its first character."""

    WORD = auto()
    QUOTED = auto()
    TEXT = auto()
    NUMBER = auto()
    SYMBOL = auto()


@dataclass(frozen=True, slots=True)
class Lexeme:
    """One word, quoted name, text, number or symbol; `value` is unescaped, `start` and `end` are offsets, half open."""

    kind: Kind
    value: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The word in lower case (operators and functions match without case), or "" for what is no word."""
        return self.value.lower() if self.kind is Kind.WORD else ""

    def is_symbol(self, *symbols: str) -> bool:
        """Whether it is one of these symbols."""
        return self.kind is Kind.SYMBOL and self.value in symbols


def tokenise(text: str) -> list[Lexeme]:
    """The lexemes of a rule. Raises RuleError where the text is too long or holds what no rule can."""
    _refuse_what_is_no_text(text)
    lexemes: list[Lexeme] = []
    problems: list[Diagnostic] = []
    after = 0
    for token in _stock_tokens(text):
        start, end = token.start - len(_GUARD), token.end + 1 - len(_GUARD)
        problems.extend(_stray(text, after, start))
        lexemes.extend(_lexemes(token, text[start:end], start))
        after = end
        if len(lexemes) > MAX_TOKENS:
            place = Place(lexemes[MAX_TOKENS].start, lexemes[MAX_TOKENS].end)
            message = f"the rule has more than {MAX_TOKENS:,} words, values and symbols"
            raise RuleError([Diagnostic("R701", message, place=place, help="split it into several segments", rule=text)])
    problems.extend(_stray(text, after, len(text)))
    problems.extend(problem for lexeme in lexemes if (problem := _malformed(lexeme, text)))
    if problems:
        raise RuleError(problems[:MAX_PROBLEMS])
    return lexemes


def has_comments(text: str) -> bool:
    """Whether a rule has comments; `fmt` leaves such a rule as it is. False for a text that is no rule."""
    try:
        tokens = _stock_tokens(text)
    except RuleError:
        return False
    after = len(_GUARD)
    for token in tokens:
        if text[after - len(_GUARD) : token.start - len(_GUARD)].strip():
            return True
        after = token.end + 1
    return bool(text[after - len(_GUARD) :].strip())


def _stray(text: str, start: int, end: int) -> Iterator[Diagnostic]:
    """Between two tokens only white space and comments may stand; the tokenizer also skips comments of template languages."""
    stray = _COMMENT.sub("", text[start:end]).strip()
    if stray:
        place = Place(text.index(stray[0], start), end)
        yield Diagnostic("R102", "this can't stand in a rule", place=place, help="comments are `--` and `/* */`", rule=text)


def _refuse_what_is_no_text(text: str) -> None:
    if found := NOT_TEXT.search(text):
        place = Place(found.start(), found.end())
        shown = f"U+{ord(found.group()):04X}"
        raise RuleError([Diagnostic("R102", f"the rule holds {shown}, which is no character of a text", place=place)])
    size = len(text.encode())
    if size > MAX_BYTES:
        message = f"the rule is {size:,} bytes long; at most {MAX_BYTES:,} are allowed"
        raise RuleError([Diagnostic("R700", message, help="long lists of keys belong in a `list:` file")])


def _stock_tokens(text: str) -> list[Token]:
    try:
        return list(_DUCKDB.tokenize(_GUARD + text))[1:]
    except TokenError:
        raise RuleError([_not_closed(text)]) from None


def _not_closed(text: str) -> Diagnostic:
    """The problem behind a tokenizer's refusal: something that opens and never closes."""
    rest = _CLOSED.sub(lambda found: " " * len(found.group()), text)
    opening = _OPENING.search(rest)
    if opening is None:
        return Diagnostic("R101", "a text, a name or a comment is not closed", place=Place(0, len(text)), rule=text)
    code, what, hint = _NOT_CLOSED[opening.group()[0]]
    message = f"the {what} that begins here is not closed"
    return Diagnostic(code, message, place=Place(*opening.span()), help=hint, rule=text)


_OPENING = re.compile(r"""'|"|/\*|\{\#|\$\w*\$""")

_NOT_CLOSED = {
    "'": ("R101", "text", "a quote inside a text is written twice: 'it''s'"),
    '"': ("R101", "quoted name", "names stand in double quotes, texts in single ones"),
    "/": ("R101", "comment", "close it with `*/`"),
    "{": ("R102", "comment", "comments are `--` and `/* */`"),
    "$": ("R102", "text", "texts stand in plain single quotes"),
}
"""What opens and never closes, by its first character: the code, what it is, and what to write."""


def _lexemes(token: Token, source: str, start: int) -> Iterator[Lexeme]:
    """What stands in the text where the tokenizer found one token; a keyword of several words is several lexemes."""
    first = source[:1]
    if first == "'" and token.token_type == TokenType.STRING:
        yield Lexeme(Kind.TEXT, token.text, start, start + len(source))
    elif first == '"' and token.token_type == TokenType.IDENTIFIER:
        yield Lexeme(Kind.QUOTED, token.text, start, start + len(source))
    elif token.token_type == TokenType.NUMBER:
        yield Lexeme(Kind.NUMBER, source, start, start + len(source))
    elif WORD.match(source) and not source.endswith("'"):
        for piece in _PIECE.finditer(source):
            kind = Kind.WORD if WORD.match(piece.group()) else Kind.SYMBOL
            yield Lexeme(kind, piece.group(), start + piece.start(), start + piece.end())
    else:
        yield Lexeme(Kind.SYMBOL, source, start, start + len(source))


def _malformed(lexeme: Lexeme, text: str) -> Diagnostic | None:
    """What is wrong with one lexeme by itself."""
    place = Place(lexeme.start, lexeme.end)
    if lexeme.kind is Kind.NUMBER and not _NUMBER_AS_WRITTEN.fullmatch(lexeme.value):
        return Diagnostic("R109", f"`{lexeme.value}` is not a number", place=place, help="write it like 5, 2.5 or 1_000", rule=text)
    if lexeme.kind is Kind.SYMBOL and len(lexeme.value) > 1 and lexeme.value.endswith(("'", "$")):
        return Diagnostic("R102", "texts stand in plain single quotes", place=place, help="write 'like this'", rule=text)
    if lexeme.kind is Kind.QUOTED and not lexeme.value:
        return Diagnostic("R102", "a name is empty", place=place, help="a text stands in single quotes", rule=text)
    if lexeme.kind is Kind.SYMBOL and not lexeme.value.isascii():
        hint = "a name with such characters stands in double quotes"
        return Diagnostic("R102", f"`{lexeme.value}` can't stand in a rule", place=place, help=hint, rule=text)
    return None
