"""Numbers as docs/rules.md "Numbers" has them: exact with exact exactly, beside a float in the float's width, nothing ever raises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from fractions import Fraction

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import INTEGERS, Sql, decimal_of, digits_of, held_as, is_integer, made_of, verdict
from segmentry.rules.types import FLOAT32, FLOAT64, MAX_DIGITS, Type, exact

COMPARISONS: dict[str, type[exp.Binary]] = {"=": exp.EQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE}
FLIPPED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
HELD_IN_64_BITS = 18
"""Every exact value of so many digits fits 64 bits."""

HELD_BY_A_DOUBLE = 15
"""Every integer of so many digits is a 64-bit float."""

_WIDE = Context(prec=200, Emin=-9999, Emax=9999)


def constant(value: Decimal) -> Sql:
    """A literal number, exact."""
    scale = max(0, -int(value.as_tuple().exponent)) if isinstance(value.as_tuple().exponent, int) else 0
    unscaled = int(value.scaleb(scale, _WIDE))
    while scale and unscaled % 10 == 0:
        unscaled //= 10
        scale -= 1
    return Sql(literal(unscaled, scale), exact(max(len(str(abs(unscaled))), scale), scale), literal_held(unscaled, scale), constant=value)


def literal_held(unscaled: int, scale: int) -> str:
    """How the number `unscaled / 10^scale` is held."""
    digits = max(len(str(abs(unscaled))), scale, 1)
    if scale:
        return f"DECIMAL({digits},{scale})"
    return "BIGINT" if -(2**63) < unscaled < 2**63 else "HUGEINT"


def literal(unscaled: int, scale: int) -> sql.Expr:
    """The number `unscaled / 10^scale`; plain digits where the engine takes them as written, a cast of text beyond."""
    digits = str(abs(unscaled)).rjust(scale + 1, "0")
    sign = "-" if unscaled < 0 else ""
    written = sign + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)
    if len(digits) <= HELD_IN_64_BITS:
        return sql.number(written)
    return sql.cast(sql.text(written), literal_held(unscaled, scale))


def float_type(width: int) -> Type:
    """The float type of so many bits."""
    return FLOAT32 if width == 32 else FLOAT64


class Numbers:
    """Arithmetic and comparison in one engine's words. `named` makes an expression a column, so that it may be used twice."""

    def __init__(self, ops: Operations, named: Callable[[Sql], Sql]) -> None:
        self.ops = ops
        self.named = named

    # ---------------------------------------------------------------- conversions

    def cast(self, value: Sql, held: str, attempt: bool = False) -> Sql:
        """The value held otherwise; with `attempt` missing where it does not fit."""
        if value.held == held and value.constant is None:
            return value
        type = exact(INTEGERS[held]) if held in INTEGERS else exact(*(decimal_of(held) or (MAX_DIGITS, 0)))
        return made_of((value,), self.ops("try cast" if attempt else "cast", value.expr, held), type, held)

    def to_float(self, value: Sql, width: int) -> Sql:
        """The nearest float of that width."""
        held = "FLOAT" if width == 32 else "DOUBLE"
        type = float_type(width)
        if isinstance(value.constant, Decimal):
            return made_of((), self.ops("cast", sql.text(format(value.constant, "f")), held), type, held)
        if value.held == held:
            return value
        if value.type.is_float:
            operation = "cast" if value.type.width <= width else "try cast"
            return made_of((value,), self.ops(operation, value.expr, held), type, held, value.finite)
        decimal = decimal_of(value.held)
        if value.held == "HUGEINT" or (decimal is not None and decimal[0] > HELD_BY_A_DOUBLE):
            return self._wide_to_float(value, type, held)
        return made_of((value,), self.ops("cast", value.expr, held), type, held)

    def _wide_to_float(self, value: Sql, type: Type, held: str) -> Sql:
        """Through text where there are many digits: the engine's own cast is then not always the nearest float."""
        value = self.named(value)
        scale = digits_of(value)[1]
        few = sql.infix(exp.LT, self.ops("abs", value.expr), literal(10**HELD_BY_A_DOUBLE, scale))
        through_text = self.ops("cast", self.ops("text of", value.expr.copy()), held)
        return made_of((value,), sql.when(few, self.ops("cast", value.expr.copy(), held), through_text), type, held)

    def scaled(self, value: Sql, places: int) -> Sql:
        """A float as the integer its sums add: `round(x * 10^places)` in 64 bits, half away from zero."""
        value = self.to_float(value, 64)
        unit = self.ops("cast", sql.text(f"1e{places}"), "DOUBLE")
        return made_of((value,), self.ops("round", sql.infix(exp.Mul, value.expr, unit)), FLOAT64, "DOUBLE")

    def settled(self, value: Sql) -> Sql:
        """The value with a result that is infinite or NaN made missing."""
        if value.finite:
            return value
        column = self.named(value)
        kept = sql.when(self.ops("is finite", column.expr), column.expr.copy())
        return made_of((column,), kept, value.type, value.held)

    def converted(self, value: Sql, type: Type) -> Sql:
        """A number as another number type (the tables of one event may differ)."""
        if type.is_float:
            return self.to_float(value, type.width)
        if value.type.is_float:
            return self.cast(value, held_as(type), attempt=True)
        whole, scale = digits_of(value)
        wider = whole > type.precision - type.scale or scale > type.scale
        if scale == type.scale and not wider:
            return value
        return self.cast(value, held_as(type), attempt=wider)

    def held(self, value: Sql, type: Type) -> Sql:
        """The value as values of its type are held, whichever table it came from."""
        if value.held == held_as(type):
            return value
        if type.is_float:
            return self.to_float(value, type.width)
        return value.made(self.ops("cast", value.expr, held_as(type)), type, held_as(type))

    # ---------------------------------------------------------------- arithmetic

    def arithmetic(self, op: str, left: Sql, right: Sql, type: Type) -> Sql:
        """`left op right`, of the type the checker gave it."""
        if op == "/":
            return self._divided(left, right)
        if type.is_float:
            return self._floats(op, left, right, type)
        if op == "*":
            return self._product(left, right, type)
        return self._aligned(op, left, right, type)

    def _divided(self, left: Sql, right: Sql) -> Sql:
        divisor = self.settled(self.to_float(right, 64))
        parts = (self.to_float(left, 64), divisor)
        # a zero divisor gives an infinity or NaN, which is missing in the end
        return made_of(parts, sql.infix(exp.Div, parts[0].expr, parts[1].expr), FLOAT64, "DOUBLE", finite=False)

    def _floats(self, op: str, left: Sql, right: Sql, type: Type) -> Sql:
        first, second = self.to_float(left, type.width), self.to_float(right, type.width)
        if op == "%":
            second = self.settled(second)
            expr = self.ops("remainder", first.expr, second.expr)
        else:
            expr = sql.infix(_INFIX[op], first.expr, second.expr)
        return made_of((first, second), expr, type, held_as(type), finite=False)

    def _product(self, left: Sql, right: Sql, type: Type) -> Sql:
        (whole_1, scale_1), (whole_2, scale_2) = digits_of(left), digits_of(right)
        digits, scale = whole_1 + scale_1 + whole_2 + scale_2, scale_1 + scale_2
        if scale == 0:
            held = "BIGINT" if digits <= HELD_IN_64_BITS else "HUGEINT"
            parts = [self.cast(left, held), self.cast(right, held)]
        else:
            held = f"DECIMAL({min(digits, MAX_DIGITS)},{scale})"
            parts = [self._as_decimal(left), self._as_decimal(right)]
            if digits > HELD_IN_64_BITS >= max(whole_1 + scale_1, whole_2 + scale_2):
                # of two factors in 64 bits the engine makes a product in 64 bits
                parts[0] = self.cast(parts[0], f"DECIMAL({HELD_IN_64_BITS + 1},{scale_1})")
        return self._guarded(made_of(parts, sql.infix(exp.Mul, parts[0].expr, parts[1].expr), type, held), digits)

    def unscaled(self, value: Sql) -> Sql:
        """The integer that an exact value is when its point is left out."""
        if decimal_of(value.held) is None:
            return self.cast(value, "HUGEINT")
        whole = self.ops("cast", self.ops("without point", self.ops("text of", value.expr)), "HUGEINT")
        return made_of((value,), whole, exact(MAX_DIGITS), "HUGEINT")

    def _aligned(self, op: str, left: Sql, right: Sql, type: Type) -> Sql:
        """`+ - %`: both sides on the finer of the two scales."""
        (whole_1, scale_1), (whole_2, scale_2) = digits_of(left), digits_of(right)
        scale = max(scale_1, scale_2)
        digits = max(whole_1, whole_2) + scale + (op != "%")
        if digits > MAX_DIGITS and scale_1 != scale_2:
            return self._remainder_far(left, right, type) if op == "%" else self._sum_far(op, left, right, type)
        held = held_as(exact(digits, scale))
        parts = [self.cast(left, held), self.cast(right, held)]
        if op == "%":  # by zero it raises
            return made_of(parts, self.ops("attempt", self.ops("remainder", parts[0].expr, parts[1].expr)), type, held)
        return self._guarded(made_of(parts, sql.infix(_INFIX[op], parts[0].expr, parts[1].expr), type, held), digits)

    def _sum_far(self, op: str, left: Sql, right: Sql, type: Type) -> Sql:
        """A sum or difference whose coarser side may need more than 38 digits on the finer scale, though the result does not.

        Such a side is less than twice what 38 digits hold, or the result does not fit either; so it is added in halves.
        """
        scale_1, scale_2 = digits_of(left)[1], digits_of(right)[1]
        scale, sign = max(scale_1, scale_2), _INFIX[op]
        first, second = (self.named(self.unscaled(side)) for side in (left, right))
        coarse = first if scale_1 < scale else second
        moved = literal(10 ** (scale - min(scale_1, scale_2)), 0)
        half = sql.infix(exp.IntDiv, coarse.expr, sql.integer(2))
        rest = sql.infix(exp.Sub, coarse.expr.copy(), half.copy())
        halves = [sql.infix(exp.Mul, part, moved.copy()) for part in (half, rest)]
        # the finer side comes before the second half, so that no step is larger than the result or what came before it
        if coarse is first:
            made = sql.infix(exp.Add, sql.infix(sign, halves[0], second.expr), halves[1])
        else:
            made = sql.infix(sign, sql.infix(sign, first.expr, halves[0]), halves[1])
        return self.with_point(made_of((first, second), self.ops("attempt", made), type, "HUGEINT"), scale)

    def _remainder_far(self, left: Sql, right: Sql, type: Type) -> Sql:
        """A remainder whose coarser side may need more than 38 digits on the finer scale."""
        scale_1, scale_2 = digits_of(left)[1], digits_of(right)[1]
        if scale_2 < scale_1:  # a divisor beyond 38 digits is larger than any dividend
            held = f"DECIMAL({MAX_DIGITS},{scale_1})"
            dividend, wide = self.named(self.cast(left, held)), self.named(right)
            moved = self.named(self.cast(wide, held, attempt=True))
            beyond = sql.all_of([sql.is_null(moved.expr.copy()), sql.is_set(wide.expr.copy())])
            remainder = self.ops("attempt", self.ops("remainder", dividend.expr.copy(), moved.expr.copy()))
            return made_of((dividend, moved), sql.when(beyond, dividend.expr.copy(), remainder), type, held)
        sides = [self.named(self.unscaled(side)) for side in (left, right)]
        size = self.named(made_of(sides, self.ops("cast", self.ops("abs", sides[0].expr), "UHUGEINT"), type, "UHUGEINT"))
        divisor = self.ops("cast", sql.call("nullif", self.ops("abs", sides[1].expr), sql.integer(0)), "UHUGEINT")
        by = self.named(made_of(sides, divisor, type, "UHUGEINT"))
        rest = self.named(made_of((size, by), self.ops("remainder", size.expr.copy(), by.expr.copy()), type, "UHUGEINT"))
        for _ in range(scale_2 - scale_1):  # ten times the rest, as 3 x 3 + 1, of which no step leaves 128 bits
            nine = rest.expr.copy()
            for _ in range(2):
                nine = self.ops("remainder", sql.infix(exp.Mul, nine, sql.integer(3)), by.expr.copy())
            ten = self.ops("remainder", sql.infix(exp.Add, nine, rest.expr.copy()), by.expr.copy())
            rest = self.named(made_of((rest, by), ten, type, "UHUGEINT"))
        size_of_rest = self.ops("cast", rest.expr, "HUGEINT")
        negative = sql.infix(exp.LT, sides[0].expr.copy(), sql.integer(0))
        signed = sql.when(negative, exp.Neg(this=size_of_rest.copy()), size_of_rest)
        return self.with_point(made_of((rest, *sides), signed, type, "HUGEINT"), scale_2)

    def total(self, values: Sequence[Sql], scale: int) -> Sql:
        """The sum of several values that is known to fit."""
        held = f"DECIMAL({MAX_DIGITS},{scale})" if scale else "HUGEINT"
        parts = [self.cast(value, held) for value in values]
        return made_of(parts, sql.total([part.expr for part in parts]), exact(MAX_DIGITS, scale), held)

    def with_point(self, whole: Sql, places: int) -> Sql:
        """An integer as the decimal with so many places that it stands for; missing where that needs more than 38 digits."""
        whole = self.cast(whole, f"DECIMAL({MAX_DIGITS},0)", attempt=True)
        if not places:
            return whole
        unit = self.ops("cast", sql.text(f"0.{'1'.rjust(places, '0')}"), f"DECIMAL({places},{places})")
        return whole.made(sql.infix(exp.Mul, whole.expr, unit), exact(MAX_DIGITS, places), f"DECIMAL({MAX_DIGITS},{places})")

    def _guarded(self, value: Sql, digits: int) -> Sql:
        """An exact result that may need more than 38 digits: missing where it does."""
        if digits <= MAX_DIGITS:
            return value
        tried = value.made(self.ops("attempt", value.expr))
        if value.held != "HUGEINT":
            return tried
        return self.cast(tried, f"DECIMAL({MAX_DIGITS},0)", attempt=True)  # 128 bits hold a little more than 38 digits

    def _as_decimal(self, value: Sql) -> Sql:
        if decimal_of(value.held) and value.constant is None:
            return value
        whole, scale = digits_of(value)
        return self.cast(value, f"DECIMAL({min(whole + scale, MAX_DIGITS)},{scale})", attempt=value.held == "HUGEINT")

    def negated(self, value: Sql, type: Type) -> Sql:
        if isinstance(value.constant, Decimal):
            return constant(-value.constant)
        value = self._signed(value)
        negative = exp.Neg(this=sql.paren(value.expr))
        return made_of((value,), negative, type, value.held, finite=not value.type.is_float)

    def rounded(self, function: str, value: Sql, type: Type) -> Sql:
        """`abs round floor ceil`."""
        if value.type.is_float:
            return made_of((value,), self.ops(function, value.expr), value.type, value.held, finite=False)
        decimal = decimal_of(value.held)
        if function == "abs":
            value = self._signed(value)
            return value.made(self.ops("abs", value.expr), type)
        if decimal is None or not decimal[1]:
            return value
        return value.made(self.ops(function, self._plain(value).expr), type, f"DECIMAL({decimal[0]},0)")

    def _plain(self, value: Sql) -> Sql:
        """A literal with its exact type said, so that a function sees that type."""
        return self.cast(value, value.held) if value.constant is not None else value

    def _signed(self, value: Sql) -> Sql:
        """An integer wide enough for its own negative."""
        if not is_integer(value) or value.held == "HUGEINT":
            return value
        return self.cast(value, "BIGINT" if INTEGERS[value.held] <= HELD_IN_64_BITS else "HUGEINT")

    # ---------------------------------------------------------------- comparison

    def compared(self, op: str, left: Sql, right: Sql) -> Sql:
        """`left op right`; NULL where a side is missing."""
        if left.type.is_float or right.type.is_float:
            width = max(v.type.width for v in (left, right))
            return self._plainly(op, self.settled(self.to_float(left, width)), self.settled(self.to_float(right, width)))
        if isinstance(left.constant, Decimal) and not isinstance(right.constant, Decimal):
            left, right, op = right, left, FLIPPED[op]
        if isinstance(right.constant, Decimal):
            return self._beside_literal(op, left, right.constant)
        return self._exactly(op, left, right)

    def _plainly(self, op: str, left: Sql, right: Sql) -> Sql:
        return verdict((left, right), sql.infix(COMPARISONS[op], left.expr, right.expr))

    def _beside_literal(self, op: str, left: Sql, value: Decimal) -> Sql:
        """The literal moves onto the value's own scale, so that the column is read as it is stored."""
        if isinstance(left.constant, Decimal):
            return Sql(sql.boolean(_HOLDS[op](left.constant, value)), left.type, "BOOLEAN")
        whole, scale = digits_of(left)
        exactly = Fraction(value) * 10**scale
        floor = exactly.numerator // exactly.denominator
        between = floor != exactly
        if between and op == "=":
            return self._known(left, False)
        bound = floor + 1 if between and op in ("<", ">=") else floor
        if abs(bound) >= 10 ** min(whole + scale, MAX_DIGITS):
            return self._known(left, _HOLDS[op](Decimal(0), Decimal(bound)))
        return verdict((left,), sql.infix(COMPARISONS[op], left.expr, literal(bound, scale)))

    def _known(self, left: Sql, holds: bool) -> Sql:
        """The same for every value there is."""
        return verdict((left,), sql.is_set(left.expr)) if holds else Sql(sql.boolean(False), left.type, "BOOLEAN")

    def _exactly(self, op: str, left: Sql, right: Sql) -> Sql:
        (whole_1, scale_1), (whole_2, scale_2) = digits_of(left), digits_of(right)
        if scale_1 == scale_2 == 0:
            if is_integer(left) and is_integer(right) and left.held.startswith("U") == right.held.startswith("U"):
                return self._plainly(op, left, right)
            if max(whole_1, whole_2) < MAX_DIGITS or "HUGEINT" in (left.held, right.held):
                return self._plainly(op, self.cast(left, "HUGEINT"), self.cast(right, "HUGEINT"))
        digits, scale = max(whole_1, whole_2) + max(scale_1, scale_2), max(scale_1, scale_2)
        held = f"DECIMAL({min(digits, MAX_DIGITS)},{scale})"
        if digits <= MAX_DIGITS:
            return self._plainly(op, self.cast(left, held), self.cast(right, held))
        if scale_1 > scale_2:
            left, right, op = right, left, FLIPPED[op]
        # the coarser side may be too large for the finer scale: then its sign decides
        coarse, fine = self.named(left), self.named(right)
        moved = self.named(self.cast(coarse, held, attempt=True))
        sign = sql.all_of([sql.infix(exp.LT if op in ("<", "<=") else exp.GT, coarse.expr, sql.integer(0)), sql.is_set(fine.expr)])
        beyond = sql.boolean(False) if op == "=" else sign
        same = self._plainly(op, moved, self.cast(fine, held))
        return verdict((coarse, fine, same), sql.when(sql.is_null(moved.expr.copy()), beyond, same.expr))


_INFIX: dict[str, type[exp.Binary]] = {"+": exp.Add, "-": exp.Sub, "*": exp.Mul}

_HOLDS = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
