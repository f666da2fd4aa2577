"""The codes of the rule language's diagnostics, and what each one means. A code never changes its meaning."""

from __future__ import annotations

SYNTAX = {
    "R100": "the rule is empty",
    "R101": "a text, a quoted name or a comment is not closed",
    "R102": "a character or a form of literal that the language does not have",
    "R104": "a bracket without its partner",
    "R105": "a value or a condition is missing",
    "R106": "an operator, `and` or `or` is missing, or a word is no operator",
    "R107": "an operator of another language",
    "R108": "comparisons in a chain",
    "R109": "a number written wrongly, or a duration outside quotes",
    "R110": "two values side by side",
    "R111": "a part of SQL that rules don't have",
    "R112": "a keyword argument in the wrong place, or twice",
    "R113": "`in` without a list, or with an empty one",
    "R114": "`between` without its `and`",
    "R115": "a function's name that is quoted or has dots",
    "R116": "`not` inside a value",
    "R119": "a rule that can't be parsed",
    "R120": "an entry of the builder form has the wrong shape",
    "R121": "an unknown key",
    "R122": "a key is missing",
    "R123": "keys that don't go together",
    "R124": "an unknown operator of the builder form",
    "R125": "a value that its key or operator can't take",
    "R126": "an empty list of rules",
    "R127": "an unknown measure",
}

LIMITS = {
    "R700": "the rule's text is longer than 64 KiB",
    "R701": "the rule has more than 5,000 tokens",
    "R702": "the rule has more than 1,000 conditions",
    "R703": "the rule is nested deeper than 100",
}
