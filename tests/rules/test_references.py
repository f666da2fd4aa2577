import pytest

from segmentry.errors import RuleError
from segmentry.rules.nodes import Always, And, Member, Not
from segmentry.rules.references import all_references, in_order, references


def rules(**names):
    """Segments that refer to those named: `a="b c"`."""
    return {name: And((Always(True), *(Not(Member(other)) for other in others.split()))) for name, others in names.items()}


def test_a_rule_names_its_references():
    assert references(rules(a="b c")["a"]) == {"b", "c"}
    assert references(Always(True)) == frozenset()


def test_segments_come_after_those_they_refer_to_and_else_by_name():
    assert in_order(rules(z="", a="z", b="z a", c="")) == ("c", "z", "a", "b")
    assert in_order({}) == ()


def test_references_go_on_through_others_and_may_leave_the_mapping():
    assert all_references(rules(a="b", b="c d", c="", d="list_only")) == {
        "a": {"b", "c", "d", "list_only"},
        "b": {"c", "d", "list_only"},
        "c": set(),
        "d": {"list_only"},
    }


def test_a_circle_is_told_with_its_path():
    with pytest.raises(RuleError) as refused:
        in_order(rules(c="a", b="c", a="b", x="a"))
    (problem,) = refused.value.diagnostics
    assert problem.message == "these segments refer to each other in a circle: a -> b -> c -> a"


def test_every_circle_is_told_at_once():
    with pytest.raises(RuleError) as refused:
        in_order(rules(a="b", b="a", c="c", d="e", e="d", f="a c"))
    paths = [problem.message.rpartition(": ")[2] for problem in refused.value.diagnostics]
    assert paths == ["a -> b -> a", "c -> c", "d -> e -> d"]


def test_a_long_chain_is_no_problem():
    chain = {f"s{i:05}": Member(f"s{i + 1:05}") for i in range(3000)} | {"s03000": Always(True)}
    assert in_order(chain)[0] == "s03000"
