"""What stands where: a rule's lexemes, in one pass, made ready for sqlglot's stock parser.

Whether a word is an operator or a name depends on where it stands, so the pass knows at every lexeme whether an
operand or an operator is due. It finds every problem of form by itself, each in its own stretch of the rule, so that
several can be told at once; the parser is only asked about texts in which nothing is missing and nothing is foreign,
and its answer is about precedence.

Every operand goes to the parser as a quoted identifier that is a number: its index in `Arrangement.leaves`. So no
name is a keyword to it, no two texts are joined, no function has a meaning or an arity of its own, and every leaf of
its tree finds the way back to where it was written.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import NoReturn

from sqlglot import Token, TokenType

from segmentry.errors import RuleError
from segmentry.rules import mistakes
from segmentry.rules.diagnostics import Diagnostic, Place
from segmentry.rules.operators import ARITHMETIC, LONGEST_PHRASE, PHRASES, SYMBOLS, Meaning, Shape
from segmentry.rules.syntax import Boolean, Call, Name, Null, Number, Syntax, Text
from segmentry.rules.tokens import MAX_PROBLEMS, Kind, Lexeme

MAX_CONDITIONS = 1_000
MAX_NESTING = 100

Path = tuple[str | int, ...]

_CONSTANTS = {"true", "false", "null"}
_OPENERS = {"(": ")", "[": "]", "{": "}"}


class Bracket(Enum):
    """What a bracket is for."""

    WHOLE = auto()
    """The rule itself."""
    GROUP = auto()
    CALL = auto()
    LIST = auto()
    FOREIGN = auto()
    """Any bracket in a stretch that is wrong already."""


@dataclass(slots=True)
class Slot:
    """The stretch between two of: a bracket, a comma, `=>`, `and`, `or`. It holds at most one comparison."""

    first: int
    """Index of its first lexeme."""
    conditions: int
    """How many conditions there were before it."""
    joined: bool = False
    """It stands beside `and` or `or`, or is the whole rule: a condition."""
    operator: Lexeme | None = None
    between: Lexeme | None = None
    """A `between` whose `and` is still due."""
    nots: int = 0
    minuses: int = 0
    operands: int = 0
    argument: bool = False
    """It begins an argument: a keyword may stand here."""
    broken: bool = False
    """A problem was told; the rest of the slot is passed over."""


@dataclass(slots=True)
class Frame:
    """An open bracket."""

    bracket: Bracket
    opening: Lexeme | None
    slot: Slot
    leaf: int = -1
    """A call's index among the leaves."""
    named: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Tokens for the stock parser, and what its identifiers stand for."""

    tokens: list[Token]
    leaves: list[Syntax]


def arrange(lexemes: list[Lexeme], text: str, path: Path = ()) -> Arrangement:
    """Put a rule's lexemes in the parser's terms. Raises RuleError with every problem found.

    `path` is where the text stands in a builder form; every place carries it.
    """
    return _Pass(lexemes, text, path).run()


class _Pass:
    """One left-to-right pass; `wants_operand` is the grammar's whole state but for the brackets."""

    def __init__(self, lexemes: list[Lexeme], text: str, path: Path) -> None:
        self.lexemes = lexemes
        self.text = text
        self.path = path
        self.at = 0
        self.wants_operand = True
        self.conditions = 0
        self.depth = 0
        self.tokens: list[Token] = []
        self.leaves: list[Syntax] = []
        self.problems: list[Diagnostic] = []
        self.frames = [Frame(Bracket.WHOLE, None, Slot(0, 0, joined=True))]

    def run(self) -> Arrangement:
        while self.at < len(self.lexemes):
            lexeme = self.lexemes[self.at]
            if self.slot.broken:
                self.pass_over(lexeme)
            elif self.wants_operand:
                self.operand(lexeme)
            else:
                self.operator(lexeme)
        self.finish()
        if self.problems:
            self.fail()
        return Arrangement(self.tokens, self.leaves)

    # ------------------------------------------------------------ what the pass is made of

    @property
    def frame(self) -> Frame:
        return self.frames[-1]

    @property
    def slot(self) -> Slot:
        return self.frames[-1].slot

    def peek(self, ahead: int = 1) -> Lexeme | None:
        index = self.at + ahead
        return self.lexemes[index] if index < len(self.lexemes) else None

    def place(self, first: Lexeme, last: Lexeme) -> Place:
        return Place(first.start, last.end, self.path)

    def emit(self, token_type: TokenType, text: str, lexeme: Lexeme) -> None:
        self.tokens.append(Token(token_type, text, start=lexeme.start, end=lexeme.end - 1))

    def leaf(self, leaf: Syntax, lexeme: Lexeme) -> None:
        self.emit(TokenType.IDENTIFIER, str(len(self.leaves)), lexeme)
        self.leaves.append(leaf)

    def problem(self, code: str, message: str, first: Lexeme, last: Lexeme | None = None, hint: str | None = None) -> None:
        """Tell a problem and give the slot up."""
        self.slot.broken = True
        place = self.place(first, last or first)
        self.problems.append(Diagnostic(code, message, place=place, help=hint, rule=self.text))
        if len(self.problems) == MAX_PROBLEMS:
            self.problems[-1] = replace(self.problems[-1], notes=("after so many problems the rule is read no further",))
            self.fail()

    def fail(self) -> NoReturn:
        raise RuleError(sorted(self.problems, key=lambda problem: problem.place.start if problem.place else 0))

    def deeper(self, lexeme: Lexeme) -> None:
        """One more bracket, `not` or minus is open."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            message = f"the rule is nested deeper than {MAX_NESTING} brackets, `not` and minus signs"
            self.problem("R703", message, lexeme, hint="split it into several segments")
            self.fail()

    def condition(self, lexeme: Lexeme) -> None:
        """One more condition."""
        self.conditions += 1
        if self.conditions > MAX_CONDITIONS:
            message = f"the rule has more than {MAX_CONDITIONS:,} conditions"
            self.problem("R702", message, lexeme, hint="long lists of values go into `in (...)`, long lists of keys into a `list:` file")
            self.fail()

    def begin_slot(self, *, joined: bool = False, argument: bool = False) -> None:
        self.frame.slot = Slot(self.at, self.conditions, joined=joined, argument=argument)
        self.wants_operand = True

    def end_slot(self, *, joined: bool = False) -> None:
        """The slot is complete: its `not`s close, and it counts as a condition if nothing in it did."""
        slot = self.slot
        if not slot.broken:
            self.no_and()
        self.depth -= slot.nots + slot.minuses
        if (slot.joined or joined or slot.nots) and self.conditions == slot.conditions:
            self.condition(self.lexemes[slot.first])

    # ------------------------------------------------------------ an operand is due

    def operand(self, lexeme: Lexeme) -> None:
        place = self.place(lexeme, lexeme)
        following = self.peek()
        if lexeme.kind is Kind.WORD:
            self.word_operand(lexeme, following)
        elif lexeme.kind is Kind.QUOTED:
            self.name(lexeme)
        elif lexeme.kind is Kind.TEXT:
            self.whole(Text(lexeme.value, place=place), lexeme)
        elif lexeme.kind is Kind.NUMBER:
            self.whole(Number(lexeme.value.replace("_", "").lower(), place=place), lexeme)
        elif lexeme.value == "(":
            self.open(Bracket.GROUP, lexeme)
        elif lexeme.value == "-":
            self.deeper(lexeme)
            self.slot.minuses += 1
            self.emit(TokenType.DASH, "-", lexeme)
            self.at += 1
        elif lexeme.value in (")", ",") and len(self.frames) > 1:
            self.nothing_before(lexeme)
        else:
            self.problem(*mistakes.symbol_for_operand(lexeme, self.before(), following))

    def before(self) -> Lexeme | None:
        return self.lexemes[self.at - 1] if self.at else None

    def word_operand(self, lexeme: Lexeme, following: Lexeme | None) -> None:
        word = lexeme.word
        called = following is not None and following.is_symbol("(")
        if word == "not":
            self.negation(lexeme)
        elif word in ("and", "or") and not self.is_name_by_what_follows():
            self.problem("R105", mistakes.missing(self.before(), lexeme), lexeme)
            self.slot.broken = False
            self.connective(lexeme)
        elif word in _CONSTANTS and not called:
            place = self.place(lexeme, lexeme)
            self.whole(Null(place=place) if word == "null" else Boolean(word == "true", place=place), lexeme)
        elif following is not None and following.is_symbol("=>"):
            self.keyword(lexeme, following)
        elif called:
            self.leaf(Call(word, place=self.place(lexeme, lexeme)), lexeme)
            self.at += 1
            self.open(Bracket.CALL, self.lexemes[self.at])
        else:
            self.name(lexeme)

    def is_name_by_what_follows(self) -> bool:
        """`and` and `or` are names only where an operator follows that makes them one."""
        self.at += 1
        following = self.peek(0)
        found = self.phrase() is not None or (
            following is not None and following.kind is Kind.SYMBOL and (following.value in SYMBOLS or following.value in (".", "=>"))
        )
        self.at -= 1
        return found

    def negation(self, lexeme: Lexeme) -> None:
        slot = self.slot
        if slot.operands or slot.minuses or slot.operator:
            hint = "`not` goes before a whole condition: `not a = b`"
            self.problem("R116", "`not` can't stand inside a value", lexeme, hint=hint)
            return
        self.deeper(lexeme)
        slot.nots += 1
        self.emit(TokenType.NOT, "not", lexeme)
        self.at += 1

    def keyword(self, lexeme: Lexeme, arrow: Lexeme) -> None:
        """`name =>`, at the beginning of an argument."""
        slot, frame = self.slot, self.frame
        if frame.bracket is not Bracket.CALL or self.at != slot.first or not slot.argument:
            self.problem(*mistakes.misplaced_keyword(lexeme, arrow, in_call=frame.bracket is Bracket.CALL))
            return
        if lexeme.word in frame.named:
            self.problem("R112", f"`{lexeme.word}` is given twice", lexeme)
            return
        frame.named.add(lexeme.word)
        self.leaf(Name((lexeme.word,), place=self.place(lexeme, lexeme)), lexeme)
        self.emit(TokenType.FARROW, "=>", arrow)
        self.at += 2
        self.begin_slot()

    def name(self, lexeme: Lexeme) -> None:
        """A name and what follows it after dots; any word may."""
        parts, last = [lexeme], lexeme
        self.at += 1
        while (dot := self.peek(0)) is not None and dot.is_symbol("."):
            part = self.peek()
            if part is None or part.kind not in (Kind.WORD, Kind.QUOTED):
                self.problem("R105", "a name is missing after `.`", dot, hint="a name with other characters stands in double quotes")
                return
            parts.append(part)
            last = part
            self.at += 2
        following = self.peek(0)
        if following is not None and following.is_symbol("("):
            what = "has no dots" if len(parts) > 1 else "is not quoted"
            self.problem("R115", f"a function's name {what}", lexeme, last)
            return
        names, quoted = tuple(p.value for p in parts), tuple(p.kind is Kind.QUOTED for p in parts)
        self.leaf(Name(names, quoted, place=self.place(lexeme, last)), lexeme)
        self.operand_done()

    def whole(self, leaf: Syntax, lexeme: Lexeme) -> None:
        """An operand of one lexeme."""
        self.leaf(leaf, lexeme)
        self.at += 1
        self.operand_done()

    def operand_done(self) -> None:
        slot = self.slot
        slot.operands += 1
        self.depth -= slot.minuses
        slot.minuses = 0
        self.wants_operand = False

    def nothing_before(self, lexeme: Lexeme) -> None:
        """A closing bracket or a comma where an operand is due: only `f()` may be empty."""
        frame = self.frame
        first_in_bracket = frame.opening is self.before()
        if lexeme.value == ")" and first_in_bracket and frame.bracket is Bracket.CALL:
            self.close(lexeme)
            return
        if lexeme.value == ")" and first_in_bracket and frame.bracket is Bracket.LIST:
            self.problem("R113", "`in ()` has no values", lexeme, hint="write the values: in ('UK', 'US')")
        else:
            self.problem("R105", mistakes.missing(self.before(), lexeme), lexeme)
        self.pass_over(lexeme)

    # ------------------------------------------------------------ an operator is due

    def operator(self, lexeme: Lexeme) -> None:
        if lexeme.word in ("and", "or"):
            self.connective(lexeme)
        elif lexeme.kind is Kind.WORD and (found := self.phrase()) is not None:
            self.comparison(*found)
        elif lexeme.kind is not Kind.SYMBOL:
            self.problem(*mistakes.operand_for_operator(self.lexemes, self.at, has_operator=self.slot.operator is not None))
        elif lexeme.value in SYMBOLS:
            self.comparison(SYMBOLS[lexeme.value], 1)
        elif lexeme.value in ARITHMETIC and not mistakes.is_query(self.before(), lexeme, self.peek()):
            self.emit(ARITHMETIC[lexeme.value], lexeme.value, lexeme)
            self.at += 1
            self.wants_operand = True
        elif lexeme.value == ")":
            self.close(lexeme)
        elif lexeme.value == ",":
            self.comma(lexeme)
        else:
            self.problem(*mistakes.symbol_for_operator(lexeme, self.before(), self.peek()))

    def phrase(self) -> tuple[Meaning, int] | None:
        """The longest word operator that begins here, and of how many words."""
        words: list[str] = []
        for lexeme in self.lexemes[self.at : self.at + LONGEST_PHRASE]:
            if lexeme.kind is not Kind.WORD:
                break
            words.append(lexeme.word)
        for length in range(len(words), 0, -1):
            if (meaning := PHRASES.get(tuple(words[:length]))) is not None:
                return meaning, length
        return None

    def comparison(self, meaning: Meaning, length: int) -> None:
        first, last = self.lexemes[self.at], self.lexemes[self.at + length - 1]
        slot, operator = self.slot, meaning.operator
        if slot.operator is not None:
            start = self.lexemes[slot.first + slot.nots].start
            second = self.lexemes[self.at : self.at + length]
            rest = self.lexemes[self.at + length : self.at + length + LONGEST_PHRASE]
            self.problem(*mistakes.chain(self.text, start, slot.operator, second, rest))
            return
        slot.operator = Lexeme(Kind.SYMBOL, first.value, first.start, last.end)
        self.condition(first)
        if meaning.negated:
            self.emit(TokenType.NOT, "not", first)
        self.emit(operator.token, operator.name, first)
        self.at += length
        if meaning.value is not None:
            self.leaf(Text(meaning.value, place=self.place(first, last)), last)
            return
        if operator.shape is Shape.POSTFIX:
            # The stock parser is given an infix operator; what stands on its right only says where the words end.
            self.leaf(Null(place=self.place(first, last)), last)
            return
        self.wants_operand = True
        if operator.shape is Shape.BETWEEN:
            slot.between = first
        elif operator.shape is Shape.LIST:
            opening = self.peek(0)
            if opening is None or not opening.is_symbol("("):
                self.problem(*mistakes.no_list(self.lexemes, self.at - length, length))
            else:
                self.open(Bracket.LIST, opening)

    def no_and(self) -> None:
        """Tell of a `between` that is still without its `and`."""
        if self.slot.between is not None:
            self.problem("R114", "`between` has no `and`", self.slot.between, hint="write `between 1 and 5`; both ends are in")

    def connective(self, lexeme: Lexeme) -> None:
        slot = self.slot
        token_type = TokenType.AND if lexeme.word == "and" else TokenType.OR
        self.emit(token_type, lexeme.word, lexeme)
        if slot.between is not None and lexeme.word == "and":
            slot.between = None
            self.at += 1
            self.wants_operand = True
            return
        self.end_slot(joined=True)
        self.at += 1
        self.begin_slot(joined=True)

    def comma(self, lexeme: Lexeme) -> None:
        if self.slot.between is not None:
            self.no_and()
            return
        if self.frame.bracket not in (Bracket.CALL, Bracket.LIST):
            self.problem(*mistakes.comma(self.before(), lexeme, self.peek()))
            return
        self.end_slot()
        self.emit(TokenType.COMMA, ",", lexeme)
        self.at += 1
        self.begin_slot(argument=True)

    # ------------------------------------------------------------ brackets

    def open(self, bracket: Bracket, lexeme: Lexeme) -> None:
        self.deeper(lexeme)
        self.emit(TokenType.L_PAREN, "(", lexeme)
        self.at += 1
        leaf = len(self.leaves) - 1 if bracket is Bracket.CALL else -1
        self.frames.append(Frame(bracket, lexeme, Slot(self.at, self.conditions, argument=True), leaf))
        self.wants_operand = True

    def close(self, lexeme: Lexeme) -> None:
        frame = self.frame
        if frame.bracket is Bracket.WHOLE:
            self.problem("R104", "`)` has no `(`", lexeme)
            return
        if self.slot.operands or self.slot.broken:
            self.end_slot()
        self.frames.pop()
        self.depth -= 1
        self.emit(TokenType.R_PAREN, ")", lexeme)
        self.at += 1
        if frame.bracket is Bracket.CALL:
            call = self.leaves[frame.leaf]
            self.leaves[frame.leaf] = replace(call, place=replace(call.place, end=lexeme.end))
        self.operand_done()

    def pass_over(self, lexeme: Lexeme) -> None:
        """In a slot that is wrong already: on to where the next one begins."""
        frame = self.frame
        if lexeme.is_symbol(*_OPENERS):
            self.deeper(lexeme)
            self.at += 1
            self.frames.append(Frame(Bracket.FOREIGN, lexeme, Slot(self.at, self.conditions, broken=True)))
        elif frame.opening is not None and lexeme.is_symbol(_OPENERS[frame.opening.value]):
            if frame.bracket is Bracket.FOREIGN:
                self.frames.pop()
                self.depth -= 1
                self.at += 1
            else:
                self.close(lexeme)
        elif frame.bracket is Bracket.FOREIGN:
            self.at += 1
        elif lexeme.word in ("and", "or"):
            self.slot.between = None
            self.connective(lexeme)
        elif lexeme.is_symbol(",") and frame.bracket in (Bracket.CALL, Bracket.LIST):
            self.comma(lexeme)
        else:
            self.at += 1

    def finish(self) -> None:
        if not self.lexemes:
            whole = Place(0, len(self.text), self.path)
            hint = "`true` is everybody"
            self.problems.append(Diagnostic("R100", "the rule is empty", place=whole, help=hint, rule=self.text))
            return
        last = self.lexemes[-1]
        if self.wants_operand and not self.slot.broken:
            self.problem("R105", mistakes.missing(last, None), last)
        if self.frame.opening is not None:
            opening = self.frame.opening
            self.problem("R104", f"`{opening.value}` is not closed", opening)
        elif not self.slot.broken:
            self.end_slot()
