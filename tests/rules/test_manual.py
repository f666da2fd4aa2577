"""The documentation's tables are complete: they are rendered from the language's own."""

from segmentry.rules.codes import CODES
from segmentry.rules.functions import FUNCTIONS, INSTEAD, WITH_PROPERTY, Group, TimeClass
from segmentry.rules.manual import ANSWER_MOVES, ON, code_table, function_tables, operator_table
from segmentry.rules.operators import OPERATORS


def test_every_function_has_a_row_in_the_table_of_its_group():
    tables = function_tables()
    assert all(f"| `{row.signature}` |" in tables for row in FUNCTIONS.values())
    assert all(f"### {group}\n" in tables for group in Group)
    assert tables.count("not in this version") == sum(not row.available for row in FUNCTIONS.values())


def test_every_operator_has_a_row_with_all_its_words():
    table = operator_table()
    assert set(ON) == {row.name for row in OPERATORS}
    for row in OPERATORS:
        assert all(f"`{word}`" in table for word in (*row.words, *row.negated))


def test_every_code_has_a_row():
    assert all(f"| `{code}` |" in code_table() for code in CODES)


def test_the_tables_fit_together():
    assert set(ANSWER_MOVES) == set(TimeClass)
    assert {row.name for row in FUNCTIONS.values() if "event.property" in row.signature} == WITH_PROPERTY
    assert not set(INSTEAD) & set(FUNCTIONS)
    assert all(row.signature.startswith(f"{name}(") for name, row in FUNCTIONS.items())
