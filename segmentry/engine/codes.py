"""The codes of problems in workspace files (W...), in sources (S...) and in rendering SQL (X...). A code never changes its meaning."""

from __future__ import annotations

CODES: dict[str, str] = {
    # workspace files: reading them
    "W101": "there is no workspace here, or no such file",
    "W102": "a file can't be read",
    "W103": "a file is not UTF-8",
    "W104": "a file is not YAML",
    "W105": "a key stands twice",
    "W106": "a file is empty",
    "W107": "a file is too large, too deep, or its aliases expand too far",
    "W108": "a YAML tag",
    "W109": "a key is not text",
    "W110": "a file is not a mapping of keys",
    # workspace files: what they say
    "W201": "an unknown key",
    "W202": "a key or value whose feature this version doesn't have",
    "W203": "a required key is missing",
    "W204": "a value of the wrong type",
    "W205": "a value that is not allowed",
    "W206": "keys that must not, or must, stand together",
    # the workspace as a whole
    "W301": "a segment file's name can't be a segment's name",
    "W302": "a static list that is not there",
    "W303": "an unknown environment",
    "W304": "a file that would be written exists already",
    "W305": "a sequence or destination that is not there",
    "W306": "a sequence that a segment enrolls in twice",
    "W307": "a former name that is in use, or claimed twice",
    "W308": "one name for a destination and a sequence",
    "W309": "a secret in plain text",
    "W310": "a segment is gone since the accepted run, and another has its rule",
    "W311": "a destination needs addresses, and the contacts have none",
    # sources: finding the files
    "S101": "no such file, or nothing matches",
    "S102": "a directory where a file is meant",
    "S103": "a file may not be read",
    "S104": "a path that is not local",
    "S105": "a format that is not known, or formats that are mixed",
    "S106": "a snapshot that is not ready",
    "S107": "no snapshot at or before the run's instant",
    # sources: reading the files
    "S201": "an empty file",
    "S202": "a file that is damaged or not what its name says",
    "S203": "files of one source that disagree on a column",
    "S204": "a declared field that is not there, or whose type can't be",
    "S205": "a value that can't be read as its column's type",
    "S206": "columns whose names differ only in case",
    # sources: what they hold
    "S301": "a column that the workspace names is not there",
    "S302": "a key that is no integer, text or UUID",
    "S303": "an event time that is not a time",
    "S304": "an event's contact and the contacts' key are of different types",
    "S305": "a column of the wrong type",
    "S306": "a snapshot without contacts",
    "S307": "contacts without a key",
    "S308": "contacts that share a key",
    "S310": "a key that looks like an e-mail address",
    # sources: over time
    "S401": "a source changed while it was read",
    "S402": "a column is gone since the accepted run",
    "S403": "a column's type changed since the accepted run",
    # static lists
    "S501": "a list that can't be read",
    "S502": "a list without a column named as the key",
    "S503": "a line of a list that is no key",
    # contacts that were merged or re-keyed
    "S601": "an alias file that can't be read",
    "S602": "an alias file without `old_key` or `new_key`",
    "S603": "an alias without a key, or with what is no key",
    "S604": "a key that became two",
    "S605": "keys that became each other in a circle",
    # one statement in an SQL dialect
    "X101": "something that the dialect has no words for",
    "X102": "a regular expression with no translation of the same meaning",
    "X103": "exact arithmetic beyond what the dialect computes exactly",
    "X104": "a static list too long to be written into a statement",
}
