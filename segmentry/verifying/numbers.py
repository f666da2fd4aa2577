"""Numbers as the language has them: exact ones are ints and Fractions, floats are Python's, 32-bit ones rounded to their width."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from segmentry.rules.types import MAX_DIGITS, Type

Number = int | Fraction | float

LIMIT = 10**MAX_DIGITS
"""An exact number needs more than 38 digits from here on."""

SINGLE_DIGITS, SINGLE_LOWEST, SINGLE_HIGHEST = 24, -126, 128
"""Binary digits of a 32-bit float, the exponent of its smallest normal number, and of the first power of 2 beyond it."""

_TEXT = re.compile(r" *[+-]?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)? *")


def single(value: Number) -> float:
    """The nearest 32-bit float, a tie to the even one, straight from the exact value."""
    if isinstance(value, float) and not math.isfinite(value):
        return value
    exact = Fraction(value)
    if not exact:
        return value if isinstance(value, float) else 0.0  # a negative zero keeps its sign
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    step = Fraction(2) ** (max(exponent, SINGLE_LOWEST) - SINGLE_DIGITS + 1)
    nearest = round(exact / step) * step  # round() takes a half to the even one
    if abs(nearest) >= 2**SINGLE_HIGHEST:
        return math.copysign(math.inf, exact)
    return float(nearest) if nearest else math.copysign(0.0, exact)


def double(value: Number) -> float:
    """The nearest 64-bit float."""
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def of_width(value: Number, width: int) -> float:
    """The nearest float of so many bits."""
    return single(value) if width == 32 else double(value)


def as_number(value: Number, type: Type) -> Number:
    """A number beside, or in place of, numbers of this type."""
    return of_width(value, type.width) if type.is_float else value


def finite(value: float, width: int) -> float | None:
    """A float result of so many bits; missing where it is infinite or NaN."""
    if math.isfinite(value) and width == 32:
        value = single(value)
    return value if math.isfinite(value) else None


def fitting(value: int | Fraction, scale: int) -> int | Fraction | None:
    """An exact result; missing where it needs more than 38 digits at that scale."""
    return value if abs(value) * 10**scale < LIMIT else None


def half_away(value: Number) -> int:
    """The nearest whole number, a half away from zero."""
    exact = Fraction(value)
    whole = math.floor(abs(exact) + Fraction(1, 2))
    return whole if exact >= 0 else -whole


def stepped(operator: str, left: Number, right: Number, type: Type) -> Number | None:
    """`left operator right`, as a number of that type; missing where there is none."""
    if operator in ("/", "%") and right == 0:
        return None
    if type.is_float:
        return _floats(operator, of_width(left, type.width), of_width(right, type.width), type.width)
    assert not isinstance(left, float)
    assert not isinstance(right, float)
    first, second = Fraction(left), Fraction(right)
    if operator == "%":
        rest = abs(first) % abs(second)
        return fitting(-rest if first < 0 else rest, type.scale)
    made = {"+": first + second, "-": first - second, "*": first * second}[operator]
    return fitting(made, type.scale)


def _floats(operator: str, left: float, right: float, width: int) -> float | None:
    try:
        match operator:
            case "+":
                return finite(left + right, width)
            case "-":
                return finite(left - right, width)
            case "*":
                return finite(left * right, width)
            case "/":
                return finite(left / right, width)
        return finite(math.fmod(left, right), width)
    except (ArithmeticError, ValueError):  # a divisor that rounds to zero, a remainder of infinity
        return None


def number_of_text(text: str) -> float | None:
    """A text read as a number, in 64 bits; missing where it is none."""
    return finite(double(float(text)), 64) if _TEXT.fullmatch(text) else None


def scaled(value: float, places: int) -> int | None:
    """A float as the whole number of so many places that sums add; missing where it has more than 38 digits."""
    moved = value * float(10**places)
    if not math.isfinite(moved):
        return None
    whole = half_away(moved)
    return whole if abs(whole) < LIMIT else None
