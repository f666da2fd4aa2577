r"""RE2 patterns as patterns of Java, in which Spark matches: the same texts match, or the pattern is refused.

Both languages look alike and differ in what is easily missed: where `$` and `.` stop at line ends, what `\s`, `\v` and
`\b` are, which letters differ only in case, and what is special inside brackets. So nothing is copied: a pattern is read
as RE2 reads it and written anew. Which texts match does not depend on groups' numbers or on laziness, so neither is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from segmentry.engine.lowering.operations import NotExpressible

REFUSED = "X102"
ESCAPES = {"a": 0x07, "f": 0x0C, "t": 0x09, "n": 0x0A, "r": 0x0D, "v": 0x0B}
CLASSES = {"d": r"\d", "D": r"\D", "w": r"\w", "W": r"\W", "s": r"\t\n\f\r ", "S": None}
"""What stands for a class inside brackets. Java's own `\\s` has a vertical tab more; its opposite can't be written there."""
POSIX = {
    "alnum": r"\p{Alnum}", "alpha": r"\p{Alpha}", "ascii": r"\p{ASCII}", "blank": r"\p{Blank}", "cntrl": r"\p{Cntrl}",
    "digit": r"\d", "graph": r"\p{Graph}", "lower": r"\p{Lower}", "print": r"\p{Print}", "punct": r"\p{Punct}",
    "space": r"\s", "upper": r"\p{Upper}", "word": r"\w", "xdigit": r"\p{XDigit}",
}  # fmt: skip
CATEGORIES = frozenset("L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co Cs".split())
"""Unicode's general categories; scripts go by other names in Java."""

DOTTED = (0x130, 0x131)
"""İ and ı: Java takes both for an i where case is ignored, RE2 neither."""
WORD_EDGE = r"(?:(?<=\w)(?!\w)|(?<!\w)(?=\w))"
WITHIN_WORD = r"(?:(?<=\w)(?=\w)|(?<!\w)(?!\w))"


@dataclass(frozen=True)
class _Flags:
    """RE2's flags as they stand: ignore case, `.` matches line ends, `^` and `$` at every line."""

    i: bool = False
    s: bool = False
    m: bool = False


def java_pattern(pattern: str) -> str:
    """The pattern in Java's words, without flags to be set. NotExpressible where Java has none that mean the same."""
    return _Translation(pattern).whole()


def _character(code: int) -> str:
    """One code point that stands for itself, in or outside brackets."""
    letter = chr(code)
    return letter if letter.isascii() and letter.isalnum() else f"\\x{{{code:X}}}"


@dataclass
class _Translation:
    pattern: str
    at: int = 0
    flags: _Flags = _Flags()
    out: list[str] = field(default_factory=list)
    open: list[_Flags] = field(default_factory=list)

    def whole(self) -> str:
        while self.at < len(self.pattern):
            self._next()
        if self.open:
            raise self._refused("a bracket that is not closed")
        return "".join(self.out)

    def _refused(self, what: str) -> NotExpressible:
        return NotExpressible(f"the pattern `{self.pattern}` has {what}", REFUSED)

    def _take(self, text: str) -> bool:
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def _character(self) -> str:
        if self.at >= len(self.pattern):
            raise self._refused("an end that is none")
        self.at += 1
        return self.pattern[self.at - 1]

    # ---------------------------------------------------------------- outside brackets

    def _next(self) -> None:
        character = self._character()
        match character:
            case "(":
                self._group()
            case ")":
                if not self.open:
                    raise self._refused("a bracket that is not opened")
                self.flags = self.open.pop()
                self.out.append(")")
            case "[":
                self._brackets()
            case "\\":
                self._escape()
            case "." | "^" | "$":
                self.out.append(self._symbol(character))
            case "|":
                self.out.append("|")
            case "*" | "+" | "?":
                self._repeated(character)
            case "{":
                self._counted()
            case _:
                self._literal(ord(character))

    def _symbol(self, symbol: str) -> str:
        if symbol == ".":
            return r"[\s\S]" if self.flags.s else r"[^\n]"
        if symbol == "^":
            return r"(?<![^\n])" if self.flags.m else r"\A"
        return r"(?![^\n])" if self.flags.m else r"\z"

    def _literal(self, code: int) -> None:
        if self.flags.i and (code in DOTTED or chr(code) in "iI"):
            letters = "[iI]" if chr(code) in "iI" else _character(code)
            self.out.append(f"(?-iu:{letters})")
        else:
            self.out.append(_character(code))

    def _repeated(self, times: str) -> None:
        self._take("?")
        self.out.append(times)

    def _counted(self) -> None:
        """`{2}`, `{2,}`, `{2,5}`; any other brace is a character."""
        end = self.pattern.find("}", self.at)
        low, comma, high = self.pattern[self.at : max(end, self.at)].partition(",")
        if end < 0 or not _digits(low) or (high and not _digits(high)):
            self._literal(ord("{"))
            return
        self.at = end + 1
        self._repeated("{" + low + comma + high + "}")

    def _group(self) -> None:
        if not self._take("?"):
            self._opened(self.flags)
            return
        if self._take("P<") or self._take("<"):
            while self._character() != ">":
                pass
            self._opened(self.flags)
            return
        flags, on = self.flags, True
        while True:
            character = self._character()
            if character in "ism":
                flags = replace(flags, **{character: on})
            elif character == "-":
                on = False
            elif character == ":":
                self._opened(flags)
                return
            elif character == ")":
                self.out.append(_case(flags))
                self.flags = flags
                return
            else:
                raise self._refused(f"the flag `{character}`")

    def _opened(self, flags: _Flags) -> None:
        self.open.append(self.flags)
        self.out.append("(?:" + (_case(flags) if flags.i != self.flags.i else ""))
        self.flags = flags

    def _escape(self) -> None:
        character = self._character()
        match character:
            case "d" | "D" | "w" | "W":
                self.out.append(f"\\{character}")
            case "s" | "S":
                self.out.append(f"[{'^' if character == 'S' else ''}{CLASSES['s']}]")
            case "A" | "z":
                self.out.append(f"\\{character}")
            case "b" | "B":
                self.out.append(WORD_EDGE if character == "b" else WITHIN_WORD)
            case "p" | "P":
                self.out.append(self._category(character))
            case "Q":
                end = self.pattern.find("\\E", self.at)
                end = len(self.pattern) if end < 0 else end
                for quoted in self.pattern[self.at : end]:
                    self._literal(ord(quoted))
                self.at = min(end + 2, len(self.pattern))
            case _:
                self._literal(self._code(character))

    def _category(self, letter: str) -> str:
        if self._take("{"):
            end = self.pattern.find("}", self.at)
            name, self.at = self.pattern[self.at : end], end + 1
        else:
            name = self._character()
        negated = (letter == "P") != name.startswith("^")
        name = name.removeprefix("^")
        if name not in CATEGORIES or self.flags.i:
            raise self._refused(f"the class `{name}`" + (" where case is ignored" if self.flags.i else ""))
        return f"\\{'P' if negated else 'p'}{{{name}}}"

    def _code(self, character: str) -> int:
        """The code point that an escape stands for."""
        if character in ESCAPES:
            return ESCAPES[character]
        if character == "x":
            if self._take("{"):
                end = self.pattern.find("}", self.at)
                digits, self.at = self.pattern[self.at : end], end + 1
            else:
                digits, self.at = self.pattern[self.at : self.at + 2], self.at + 2
            return int(digits, 16)
        if character in "01234567":
            digits = character
            while len(digits) < 3 and self.pattern[self.at : self.at + 1] in tuple("01234567"):
                digits += self._character()
            return int(digits, 8)
        if character.isascii() and not character.isalnum():
            return ord(character)
        raise self._refused(f"`\\{character}`")

    # ---------------------------------------------------------------- brackets

    def _brackets(self) -> None:
        negated = self._take("^")
        parts: list[str] = []
        dotted = False
        first = True
        while first or not self._take("]"):
            first = False
            named = self._named_class()
            if named is not None:
                parts.append(named)
                continue
            low = self._member()
            high = low
            if self.pattern.startswith("-", self.at) and not self.pattern.startswith("-]", self.at):
                self.at += 1
                high = self._member()
            dotted = dotted or any(low <= code <= high for code in DOTTED)
            parts.append(_character(low) if high == low else f"{_character(low)}-{_character(high)}")
        self.out.append(self._bracketed(negated, "".join(parts), dotted))

    def _bracketed(self, negated: bool, members: str, dotted: bool) -> str:
        if not self.flags.i:
            return f"[{'^' if negated else ''}{members}]"
        if dotted:
            raise self._refused("İ or ı in brackets where case is ignored")
        # only the letters themselves decide about İ and ı, which Java takes for an i
        return f"(?:[^{members}]|(?-iu:[İı]))" if negated else f"(?:(?!(?-iu:[İı]))[{members}])"

    def _named_class(self) -> str | None:
        if self._take("[:"):
            end = self.pattern.find(":]", self.at)
            name, self.at = self.pattern[self.at : end], end + 2
            negated, name = name.startswith("^"), name.removeprefix("^")
            found = POSIX.get(name)
            if found is None or (self.flags.i and name in ("lower", "upper")):
                raise self._refused(f"the class `{name}`")
            return f"[^{found}]" if negated else found
        if self.pattern.startswith("\\", self.at) and self.pattern[self.at + 1 : self.at + 2] in tuple("dDwWsSpP"):
            letter = self.pattern[self.at + 1]
            self.at += 2
            if letter in "pP":
                return self._category(letter)
            found = CLASSES[letter]
            if found is None:
                raise self._refused("`\\S` within brackets")
            return found
        return None

    def _member(self) -> int:
        character = self._character()
        return self._code(self._character()) if character == "\\" else ord(character)


def _case(flags: _Flags) -> str:
    return "(?iu)" if flags.i else "(?-iu)"


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
