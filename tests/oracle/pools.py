"""What random text, numbers and patterns are drawn from: each is there for a trap."""

from __future__ import annotations

import math

WORDS = (
    "UK", "uk", "US", "Uk", "customer", "lead", "Lead", "pricing", "a b", "x", "10%", "50_50", "back\\slash", "it's",
    '"quoted"', "NULL", "null", "true", "2024-01-01", "İstanbul", "istanbul", "ΣΊΣΥΦΟΣ", "σίσυφος", "straße",
    "STRASSE", "ẞ", "ß", "ǅ", "ǆ", "e\u0301", "é", "É", "ÅNGSTRÖM", "\u212b", "\u212aelvin", "😀", "👩‍👩‍👧", "日本語",
    "عربى", "line\nbreak", "tab\there", "Ⅷ", "Ꭰ", "𐐀", "ﬁ", "\u00a0", "--no comment", "/* no */",
)  # fmt: skip

SPACES = (
    "  ", " \t", "\r\n", " x ", "\tUK\n", "\u00a0UK", "UK ",
)  # fmt: skip

NUMBERS = (
    "5", " 5 ", "+5", "-5", "5.25", "-0", "1e3", "1e+3", "2.5e-1", "1e999", "1e-999", "5.", ".5", "0x10", "1_000",
    "1,000", "inf", "nan", "5 5", "٥", "--5", "e5", "5e", "9007199254740993", "1" * 40, "\t5", "5\n", "0.1", "NaN",
    "Infinity", "+", "1e5.5",
)  # fmt: skip

ADDRESSES = (
    "ann@example.com", "Bob@Example.COM", "c.d@sub.example.co.uk", "no-address", "@example.com", "x@", "a@b@gmail.com",
    "İ@ÇA.example", "eve@gmail.com",
)  # fmt: skip

FLOATS = (
    0.0, -0.0, 0.1, -0.1, 0.5, 1.5, 2.5, -2.5, 1.0, 5.0, 100.0, 0.30000000000000004, 0.3, 1e-320, 5e-324,
    2.2250738585072014e-308, 1e15, 4503599627370497.5, 9007199254740993.0, 1e22, 1e30, 3e31, 1e32, 9.99e31,
    3.4028234663852886e38, 1e38, 1.7976931348623157e308, -1e308, 0.49999999999999994, 1.0000005, 0.0000005, 16777217.0,
    math.inf, -math.inf, math.nan, math.nan,
)  # fmt: skip

PATTERNS = (
    "^U", "K$", "(?i)uk", "^$|a", ".", "^.$", "[a-z]+@", r"\d+", r"^\d+$", r"gmail\.com$", "(?i)^L", "Σ", "(?i)σ",
    "a.b", "line.break", r"\s", r"\bUK\b", "😀", r"\p{Lu}", "^[^@]*$", "x|y", r"\\", "(?s)line.break", "(?i)straße",
    "e\u0301", "'", r"^\W", "(?m)^break", "UK|US",
)  # fmt: skip

LIKES = (
    "U_", "%k", "%@%", "_%", "a%b", "10%", r"back\slash", "%\\%", "50_50", "l%", "line_break", "%İ%", "straße", "_",
    "__", "%", "Σ%", "é", "%.com", "ß",
)  # fmt: skip

PIECES = (
    "u", "K", "@", "gmail", "i", "İ", "σ", "Σ", "ς", "ß", "ẞ", "ss", "ǆ", "e", "\u0301", "é", "\\", "%", "'", "😀",
    "\u200d", "a b", " ", "\n", "k", "å", "1", "ⅷ", "𐐨", "ꭰ",
)  # fmt: skip
