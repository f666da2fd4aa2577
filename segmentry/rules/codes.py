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

NAMES = {
    "R103": "contacts have no such field",
    "R200": "a name that fits several fields but for its case",
    "R201": "a column whose type no rule can use",
    "R202": "events have no such property",
    "R203": "`contact.` outside an event's conditions",
    "R204": "a dotted name where a field is meant",
    "R205": "a name with a hyphen, without quotes",
    "R206": "a struct has no such field",
    "R207": "a struct where one of its fields is needed",
}

TYPES = {
    "R300": "two types that don't compare",
    "R301": "an operator on a type it is not for",
    "R302": "a condition where a value is needed",
    "R303": "a value where a condition is needed",
    "R304": "a condition compared with true or false",
    "R305": "arithmetic on something that is no number",
    "R306": "a product with more than 38 digits after the point",
    "R307": "values of different types where one is needed",
    "R308": "a property with different types in different event tables",
    "R309": "arithmetic with too many changes between `*`, `/` and `%`",
}

LITERALS = {
    "R400": "a text that is no date or instant",
    "R401": "a text that is no length of time",
    "R402": "hours, minutes or seconds beside a date",
    "R403": "a comparison with null or the empty text",
    "R404": "bounds the wrong way round",
    "R405": "a number of more than 38 digits",
    "R406": "a regular expression that RE2 refuses",
    "R407": "a share that is no percent above 0 and up to 100",
    "R408": "an empty `in ()`",
    "R409": "a literal of the wrong kind",
    "R410": "a text that is no calendar period, or one in which no event can be",
}

FUNCTIONS = {
    "R500": "no such function",
    "R501": "not in this version",
    "R502": "too few or too many arguments",
    "R503": "an unknown, repeated or missing keyword argument",
    "R504": "an argument of a type the function is not for",
    "R505": "a function that can't stand inside an event's conditions, or those on a list's elements",
    "R506": "an event that no source can carry",
    "R507": "an argument that does not name an event",
    "R508": "an event without its property, or a property where an event is needed",
    "R509": "an argument that must be written as a literal",
    "R510": "an order or a grouping by something that is the same for every contact",
    "R511": "conditions on a list's elements too deep within each other",
    "R540": "a sequence whose steps are not one event after the other",
    "R541": "a step that is named wrongly, or a name that fits several steps or none",
    "R542": "a length of time between steps that has no beginning or is none",
    "R543": "calendar periods of a wrong kind or number",
    "R544": "the beginning of an event's name where it can't stand",
}

REFERENCES = {
    "R600": "no such segment",
    "R601": "segments that refer to each other in a circle",
    "R602": "a question about what was, where no runs are kept",
    "R603": "something else than segments where sets of contacts are meant",
}

WARNINGS = {
    "R900": "an event that has not been seen yet",
    "R901": "a rule or condition that never holds",
    "R902": "a rule or condition that always holds",
    "R903": "two segments with the same rule",
    "R904": "a comparison value that the snapshot never contains",
    "R905": "a window longer than the data",
    "R906": "a condition that never holds where it stands",
    "R907": "a condition that changes nothing where it stands",
    "R920": "contacts who are younger than the time in which they did nothing",
}

CODES: dict[str, str] = {**SYNTAX, **LIMITS, **NAMES, **TYPES, **LITERALS, **FUNCTIONS, **REFERENCES, **WARNINGS}
"""Every code of a rule's diagnostics, and what it means."""
