"""What a rule's text says: words in and out of operator position, precedence, functions, places."""

import pytest

from segmentry.errors import RuleError
from segmentry.rules.operators import OPERATORS, Shape
from segmentry.rules.parse import parse_text
from segmentry.rules.syntax import And, Between, Boolean, Call, In, Infix, IsSet, Name, Named, Negative, Not, Null, Number, Or, Syntax, Text
from segmentry.rules.tokens import has_comments


def name(*parts):
    return Name(parts)


A, B, C = name("a"), name("b"), name("c")
X = Text("x")

RIGHT = {Shape.INFIX: "'x'", Shape.BETWEEN: "'x' and b", Shape.LIST: "('x', b)", Shape.POSTFIX: ""}


def means(operator):
    if operator.shape is Shape.BETWEEN:
        return Between(A, X, B)
    if operator.shape is Shape.LIST:
        return In(A, (X, B))
    return IsSet(A) if operator.shape is Shape.POSTFIX else Infix(operator.name, A, X)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_every_word_and_symbol_of_an_operator(operator):
    right = RIGHT[operator.shape]
    for said in (*operator.words, *operator.symbols):
        assert parse_text(f"a {said} {right}") == means(operator)
        assert parse_text(f"a {said.upper()}\n{right}") == means(operator)
        assert parse_text(f"a {said.replace(' ', '  /* and */ ')} {right}") == means(operator)
    for said in operator.negated:
        assert parse_text(f"a {said} {right}") == Not(means(operator))


WORDS = {word for operator in OPERATORS for said in operator.words + operator.negated for word in said.split()}


@pytest.mark.parametrize("word", sorted(WORDS - {"not", "null"}))
def test_a_word_of_an_operator_is_a_name_where_a_value_is_due(word):
    assert parse_text(f"{word} = 'x'") == Infix("=", name(word), X)
    assert parse_text(f"count({word})") == Call("count", (name(word),))
    assert parse_text(f"contact.{word} is set") == IsSet(name("contact", word))


@pytest.mark.parametrize(
    "word",
    """all any current_date current_timestamp date interval case select from where with lambda map struct array left last first
    min max sum left right row rows over filter exists distinct at time zone symmetric fetch reset execute rename kill load show begin
    end default values unnest lateral cast try_cast extract position user session_user localtime next prior variadic table key""".split(),
)
def test_no_name_and_no_function_is_a_keyword_of_sql(word):
    field = name(word)
    assert parse_text(f"{word} > 5 and not {word} is set") == And((Infix(">", field, Number("5")), Not(IsSet(field))))
    assert parse_text(f"did({word}, {word} = {word}, {word} => {word})") == Call(
        "did", (field, Infix("=", field, field)), (Named(word, field),)
    )
    assert parse_text(f"{word}(a, b, c, 'x')") == Call(word, (A, B, C, X))
    assert parse_text(f"{word.upper()}()") == Call(word)
    assert parse_text(f"{word}.{word}.a in ({word}) or ({word})") == Or((In(name(word, word, "a"), (field,)), field))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("after after '2026-01-01'", Infix(">", name("after"), Text("2026-01-01"))),
        ("email contains ('x')", Infix("contains", name("email"), X)),
        ("contains contains contains", Infix("contains", name("contains"), name("contains"))),
        ("in in (in)", In(name("in"), (name("in"),))),
        ("between between between and and", None),
        ("user-defined > 5", Infix(">", Infix("-", name("user"), name("defined")), Number("5"))),
        ("order by", None),
        ('"order by" is set', IsSet(name("order by"))),
        ("a in this month", Infix("during", A, Text("this month"))),
        (
            "a IS  /* */ today and b not in LAST\nquarter",
            And((Infix("during", A, Text("today")), Not(Infix("during", B, Text("last quarter"))))),
        ),
        (
            "this in this week or today is not today",
            Or((Infix("during", name("this"), Text("this week")), Not(Infix("during", name("today"), Text("today"))))),
        ),
        ("a - -1", Infix("-", A, Negative(Number("1")))),
        ("a*b+c", Infix("+", Infix("*", A, B), C)),
        ("a+b*c", Infix("+", A, Infix("*", B, C))),
        ("a-b-c", Infix("-", Infix("-", A, B), C)),
        ("-a*b", Infix("*", Negative(A), B)),
        ("a or b and c", Or((A, And((B, C))))),
        ("not a = b and c", And((Not(Infix("=", A, B)), C))),
        ("not a and b or c", Or((And((Not(A), B)), C))),
        ("a between b and c and a", And((Between(A, B, C), A))),
        ("a between -1 and b + c or b", Or((Between(A, Negative(Number("1")), Infix("+", B, C)), B))),
        ("a not between b and c", Not(Between(A, B, C))),
        ("a and (b and (c and a))", And((A, B, C, A))),
        ("a or (b and c) or (a or b)", Or((A, And((B, C)), A, B))),
        ("a contains b + c", Infix("contains", A, Infix("+", B, C))),
        ("(a = b) = (b and c)", Infix("=", Infix("=", A, B), And((B, C)))),
        ("a = null or a in (null)", Or((Infix("=", A, Null()), In(A, (Null(),))))),
        ("true and false", And((Boolean(True), Boolean(False)))),
        ("'it''s' = \"a\"\"b\"", Infix("=", Text("it's"), name('a"b'))),
        ("1_000.50 < 1E5", Infix("<", Number("1000.50"), Number("1e5"))),
        ('"invoice.paid".amount > 5', Infix(">", name("invoice.paid", "amount"), Number("5"))),
        ("did('Order Placed')", Call("did", (Text("Order Placed"),))),
        ("contact . country = 'x'", Infix("=", name("contact", "country"), X)),
        ("order.not = x.true", Infix("=", name("order", "not"), name("x", "true"))),
        ("COUNT(a, LAST => 'x', b)", Call("count", (A, B), (Named("last", X),))),
        (
            "top(5, among => a = 'x', by => sum(a.b))",
            Call("top", (Number("5"),), (Named("among", Infix("=", A, X)), Named("by", Call("sum", (name("a", "b"),))))),
        ),
        ("and = 5 or or.x = 5", Or((Infix("=", name("and"), Number("5")), Infix("=", name("or", "x"), Number("5"))))),
        ("a -- b\n/* c */ = -- d\n b", Infix("=", A, B)),
        ("a\u00a0=\tb\r\n", Infix("=", A, B)),
    ],
)
def test_what_a_text_says(text, tree):
    if tree is None:
        with pytest.raises(RuleError):
            parse_text(text)
    else:
        assert parse_text(text) == tree


def parts(node):
    """A node and all below it."""
    yield node
    for key in node.__dataclass_fields__:
        held = getattr(node, key)
        for part in held if isinstance(held, tuple) else (held,):
            if isinstance(part, Syntax):
                yield from parts(part)


def test_every_part_of_the_tree_knows_where_it_stands():
    text = "location = 'UK' and count( order_placed, amount > 5, last => '30 days' ) >= 2 and not phone is  not null or true"
    told = [(type(part).__name__, text[part.place.start : part.place.end]) for part in parts(parse_text(text))]
    assert told == [
        ("Or", text),
        ("And", text.removesuffix(" or true")),
        ("Infix", "location = 'UK'"),
        ("Name", "location"),
        ("Text", "'UK'"),
        ("Infix", "count( order_placed, amount > 5, last => '30 days' ) >= 2"),
        ("Call", "count( order_placed, amount > 5, last => '30 days' )"),
        ("Name", "order_placed"),
        ("Infix", "amount > 5"),
        ("Name", "amount"),
        ("Number", "5"),
        ("Named", "last => '30 days'"),
        ("Text", "'30 days'"),
        ("Number", "2"),
        ("Not", "phone is  not null"),
        ("IsSet", "phone is  not null"),
        ("Name", "phone"),
        ("Boolean", "true"),
    ]


def test_offsets_count_code_points():
    tree = parse_text("name = '🎉' and naïve = 'x'")
    assert isinstance(tree, And)
    assert (tree.items[1].place.start, tree.items[1].place.end) == (15, 26)


def test_the_path_of_a_text_in_a_builder_form_is_carried():
    path = ("rules", 3, "rule")
    assert parse_text("a = 1 and b", path).items[0].left.place.path == path
    with pytest.raises(RuleError) as raised:
        parse_text("a = = 1 and b == 2", path)
    assert [problem.place.path for problem in raised.value.diagnostics] == [path, path]


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("a = 1", False),
        ("a = '--' and \"/* b */\" = 1", False),
        ("a = 1 -- why", True),
        ("/* why */ a = 1", True),
        ("a /* why */ = 1", True),
        ("-- why", True),
        ("", False),
        ("a = 'open", False),
        ("a - - b", False),
    ],
)
def test_comments_are_seen(text, has):
    assert has_comments(text) is has
