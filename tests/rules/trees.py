"""Random syntax trees: everything that a rule's text can say, whether or not it means anything."""

from dataclasses import replace
from random import Random

from segmentry.rules.builder_words import MEASURES
from segmentry.rules.operators import BY_NAME
from segmentry.rules.syntax import And, Between, Boolean, Call, In, Infix, IsSet, Name, Named, Negative, Not, Null, Number, Or, Syntax, Text

NAMES = """location status after before contains in is set lambda select case interval date at_least glob between like order
    user key first last row all any current_date é straße _x x1 contact over end""".split()
QUOTED = ["order placed", "invoice.paid", 'a"b', "true", "NOT", "and", "null", "1st", "a-b", "it's", "--", "日本 語", "x\ny", " "]
TEXTS = ["UK", "", "it's", "30 days", "2026-01-31", "-- no comment", "/* nor this", "a\nb", "\\", "%_", "日本", "🎉", '"', "''", "x" * 80]
NUMBERS = ["0", "5", "2.5", "1000000", "007", "1e-07", "1e+16", "0.10", "9" * 40]
FUNCTIONS = ["did", "count", "sum", "lower", "member", "sequence", "contains", "not_known", "first", "left", "map", "date"]
LISTS = ["any", "all", "none", "how_many"]
KEYWORDS = ["last", "since", "until", "within", "by", "salt"]
PREDICATES = [name for name in BY_NAME if name not in ("between", "in", "is set")]


def name(draws: Random) -> Name:
    parts = draws.choices(NAMES + QUOTED, [4] * len(NAMES) + [1] * len(QUOTED), k=draws.choice((1, 1, 1, 2, 2, 3, 6)))
    return Name(tuple(parts))


def leaf(draws: Random) -> Syntax:
    return draws.choice(
        (
            name,
            name,
            lambda draws: Text(draws.choice(TEXTS)),
            lambda draws: Number(draws.choice(NUMBERS)),
            lambda draws: Boolean(draws.random() < 0.5),
            lambda _: Null(),
        )
    )(draws)


def call(draws: Random, depth: int) -> Call:
    either = [value, condition]
    args = tuple(draws.choice(either)(draws, depth - 1) for _ in range(draws.randrange(4)))
    keywords = draws.sample(KEYWORDS, draws.choice((0, 0, 1, 2)))
    return Call(draws.choice(FUNCTIONS), args, tuple(Named(word, draws.choice(either)(draws, depth - 1)) for word in keywords))


def event_function(draws: Random, depth: int) -> Call:
    """One as the builder form has it, more or less."""
    function = draws.choice(list(MEASURES))
    plain = Name(("order placed", "amount")[: 1 + MEASURES[function].property])
    event = draws.choices((Text("order_*"), name(draws), plain), (1, 5, 4))[0]
    keywords = draws.sample(["last", "since", "until", "period", "salt"], draws.choice((0, 0, 1, 2)))
    where = tuple(condition(draws, depth - 2) for _ in range(draws.choice((0, 0, 1, 2))))
    return Call(function, (event, *where), tuple(Named(word, Text("30 days")) for word in keywords))


def sequence(draws: Random, depth: int) -> Call:
    """Steps as the builder form has them, more or less."""
    steps = []
    for _ in range(draws.randint(1, 4)):
        did = replace(event_function(draws, depth - 1), name="did")
        words = draws.sample(["within", "as", "last"], draws.choice((0, 1, 2)))
        did = replace(did, named=tuple(Named(word, Text("2 days")) for word in words))
        steps.append(Not(did) if draws.random() < 0.3 else did)
    named = draws.sample(["within", "last", "until"], draws.choice((0, 1, 2)))
    return Call("sequence", tuple(steps), tuple(Named(word, Text("30 days")) for word in named))


def list_function(draws: Random, depth: int) -> Call:
    """One as the builder form has it, more or less."""
    return Call(draws.choice(LISTS), (name(draws), *(condition(draws, depth - 2) for _ in range(draws.choice((0, 1, 1, 2))))))


def value(draws: Random, depth: int) -> Syntax:
    if depth <= 0 or draws.random() < 0.4:
        return leaf(draws)
    shape = draws.randrange(8)
    if shape < 4:
        return Infix(draws.choice("+-*/%"), value(draws, depth - 1), value(draws, depth - 1))
    if shape == 4:
        return Negative(value(draws, depth - 1))
    if shape == 5:
        return condition(draws, depth - 1)  # means nothing, but can be said: a + (b and c)
    return call(draws, depth)


def member(draws: Random, depth: int) -> Call:
    name = draws.choice(("member", "entered", "exited"))
    keys = draws.sample(("last", "since", "until") if name != "member" else ("for",), k=draws.randint(0, 1))
    return Call(name, (Text(draws.choice(TEXTS)),), tuple(Named(key, Text(draws.choice(TEXTS))) for key in keys))


def comparison(draws: Random, depth: int) -> Syntax:
    left = draws.choice((value, value, event_function, list_function))(draws, depth - 1)
    shape = draws.randrange(8)
    if shape == 0:
        return IsSet(left)
    if shape == 1:
        return Between(left, value(draws, depth - 1), value(draws, depth - 1))
    if shape == 2:
        return In(left, tuple(value(draws, depth - 2) for _ in range(draws.randint(1, 4))))
    return Infix(draws.choice(PREDICATES), left, value(draws, depth - 1))


def condition(draws: Random, depth: int) -> Syntax:
    if depth <= 0:
        return leaf(draws)
    shape = draws.randrange(7)
    if shape in (0, 1):
        kind = (And, Or)[shape]
        items = [condition(draws, depth - 1) for _ in range(draws.randint(2, 4))]
        return kind(tuple(part for item in items for part in (item.items if isinstance(item, kind) else (item,))))
    if shape == 2:
        return Not(condition(draws, depth - 1))
    if shape == 3:
        return draws.choice((call, event_function, sequence, list_function, member))(draws, depth)
    return comparison(draws, depth)
