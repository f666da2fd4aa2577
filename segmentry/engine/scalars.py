"""Where every code point of a YAML scalar's value stands in the file's text.

YAML folds lines, drops indentation and undoes escapes between the file and the value; a rule's diagnostic has offsets
into the value and must point into the file. `spread` reads a scalar's raw text once more and keeps those positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Spread = tuple[str, list[int]]
"""A value, and for each of its code points the index in the raw text; one more for the value's end."""

_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_HEX = {"x": 2, "u": 4, "U": 8}
_FOLD = re.compile(r"[ \t]*(\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))*[ \t]*")
_BREAK = re.compile(r"\r\n|\r|\n")
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s*)+")
_HEADER = re.compile(r"[|>]([-+0-9]*)[ \t]*(?:#[^\r\n]*)?(\r\n|\r|\n|$)")


def spread(raw: str, value: str) -> list[int] | None:
    """Indices into `raw` of each code point of `value`, and of its end; None where they can't be told.

    `raw` is the file's text of the scalar, from its first character (anchor, quote or `>`) to its last.
    """
    properties = _PROPERTIES.match(raw)
    start = properties.end() if properties else 0
    for found, indices in _readings(raw[start:]):
        if found == value:
            return [start + index for index in indices]
    return None


def _readings(raw: str) -> Iterator[Spread]:
    """The ways to read a scalar; more than one only for a block scalar, whose indentation is its parent's affair."""
    if raw[:1] in ("|", ">"):
        yield from _block(raw)
    elif raw[:1] == "'":
        yield _flow(raw, 1, "'")
    elif raw[:1] == '"':
        yield _flow(raw, 1, '"')
    else:
        yield _flow(raw, 0, "")


def _flow(raw: str, position: int, quote: str) -> Spread:
    """A plain or quoted scalar: lines fold into spaces, quotes and escapes are undone."""
    value: list[str] = []
    indices: list[int] = []

    def put(text: str, index: int) -> None:
        value.extend(text)
        indices.extend([index] * len(text))

    while position < len(raw):
        fold = _FOLD.match(raw, position)
        if fold:
            breaks = len(_BREAK.findall(fold.group()))
            put(" " if breaks == 1 else "\n" * (breaks - 1), fold.start(1))
            position = fold.end()
        elif quote and raw.startswith(quote, position):
            if quote == "'" and raw.startswith("''", position):
                put("'", position)
                position += 2
            else:
                break
        elif quote == '"' and raw[position] == "\\":
            text, after = _escape(raw, position)
            put(text, position)
            position = after
        else:
            put(raw[position], position)
            position += 1
    return "".join(value), [*indices, position]


def _escape(raw: str, position: int) -> tuple[str, int]:
    """What the escape at `position` stands for, and where it ends."""
    code = raw[position + 1 : position + 2]
    if code in _HEX:
        end = position + 2 + _HEX[code]
        return chr(int(raw[position + 2 : end], 16)), end
    fold = _FOLD.match(raw, position + 1)
    if fold and code in "\r\n":
        return "\n" * (len(_BREAK.findall(fold.group())) - 1), fold.end()
    return _ESCAPES.get(code, code), position + 2


def _block(raw: str) -> Iterator[Spread]:
    """A literal or folded block scalar, read with each indentation it might have, the likeliest first."""
    header = _HEADER.match(raw)
    if header is None:
        return
    lines = _lines(raw, header.end())
    filled = [line for _, line, _ in lines if line.strip(" ")]
    likely = len(filled[0]) - len(filled[0].lstrip(" ")) if filled else 0
    widest = max((len(line) - len(line.lstrip(" ")) for _, line, _ in lines), default=0)
    for indent in (likely, *(i for i in range(widest + 1) if i != likely)):
        yield _block_at(raw, lines, indent, header.group(1))


def _lines(raw: str, position: int) -> list[tuple[int, str, bool]]:
    """(index, text without its break, whether it ends with a break) of each line from `position` on."""
    found = []
    while position < len(raw):
        end = _BREAK.search(raw, position)
        found.append((position, raw[position : end.start() if end else len(raw)], end is not None))
        position = end.end() if end else len(raw)
    return found


def _block_at(raw: str, lines: list[tuple[int, str, bool]], indent: int, header: str) -> Spread:
    value: list[str] = []
    indices: list[int] = []

    def put(text: str, index: int) -> None:
        value.append(text)
        indices.extend(range(index, index + len(text)))

    folded = raw[0] == ">"
    blanks: list[int] = []
    """Where the breaks of empty lines stand that may still turn out to be within the text."""
    last_break: int | None = None
    last_flush = False
    for index, line, ends in lines:
        if len(line) <= indent and not line.strip(" "):
            if ends:
                blanks.append(index + len(line))
            continue
        if len(line) - len(line.lstrip(" ")) < indent:
            break
        text = line[indent:]
        flush = text[:1] not in (" ", "\t")
        if last_break is not None:
            if not (folded and last_flush and flush):
                put("\n", last_break)
            elif not blanks:
                put(" ", last_break)
        for blank in blanks:
            put("\n", blank)
        blanks = []
        put(text, index + indent)
        last_break = index + len(line) if ends else None
        last_flush = flush
    # the breaks after the text stand, for a reader, where the text ends
    end = indices[-1] + 1 if indices else lines[0][0] if lines else len(raw)
    final = "\n" * (("-" not in header and last_break is not None) + ("+" in header) * len(blanks))
    value.append(final)
    indices.extend([end] * len(final))
    return "".join(value), [*indices, end]
