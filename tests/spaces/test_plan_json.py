"""Errors about JSON that is no plan: one line with the rule, the value and the fix."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.plan import Plan, PlanError

EXAMPLE = '{"schema": 1, "blocks": [{"op": "keep"}, {"op": "skip_attn"}], "pruning": null}'
KEEP = {"op": "keep"}


def test_the_example_in_the_messages_is_a_plan():
    assert Plan.from_json(EXAMPLE) == Plan.parse(".a")


def test_defaults_may_be_written_out():
    written = {"op": "skip_attn", "scope": "all", "variant": "sum"}
    assert Plan.from_json({"schema": 1, "blocks": [written]}) == Plan.parse("a")
    assert Plan.from_json({"schema": 1, "blocks": [written]}).digest == Plan.parse("a").digest


def test_pruning_may_be_left_out():
    assert Plan.from_json({"schema": 1, "blocks": [KEEP]}) == Plan.dense(1)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"schema": 2, "blocks": [KEEP], "pruning": None}, "must have schema 1, got 2: write it again"),
        ({"schema": "1", "blocks": [KEEP]}, "must have schema 1, got '1':"),
        ({"schema": True, "blocks": [KEEP]}, "must have schema 1, got True:"),
        ({"schema": 1.0, "blocks": [KEEP]}, "must have schema 1, got 1.0:"),
        ({"blocks": [KEEP]}, "must have schema 1, got no schema key:"),
        ({}, "must have schema 1, got no schema key:"),
        ([KEEP], "must be an object, got list [{'op': 'keep'}]: write " + EXAMPLE),
        ("3", "must be an object, got int 3: write " + EXAMPLE),
        ("null", "must be an object, got NoneType None: write "),
        ("", "must be valid JSON, got '' (Expecting value"),
        ("..b.", "must be valid JSON, got '..b.' (Expecting value"),
        ('{"schema": 1, "blocks": [', "must be valid JSON, got "),
        (
            {"schema": 1, "blocks": [KEEP], "note": 1},
            "unknown key 'note' in a plan: the keys are schema, blocks, ",
        ),
        (
            {"schema": 1, "blocks": [KEEP], "pruning": {}},
            "must have a method or a width below 100 percent, got neither: leave it out (the pruning of a plan)",
        ),
        (
            {"schema": 1, "blocks": [KEEP], "pruning": "w50"},
            "a pruning must be an object of a plan, got 'w50': write {",
        ),
        (
            {"schema": 1, "blocks": [KEEP], "pruning": {"metod": "wanda"}},
            "unknown key 'metod' in the pruning of a plan",
        ),
        (
            {"schema": 1, "blocks": [KEEP | {"pruning": {"method": "wnda", "percent": 50}}]},
            "unknown method 'wnda' at block 0 (did you mean 'wanda'?): one of magnitude, wanda, saved",
        ),
        (
            {"schema": 1, "blocks": [KEEP | {"pruning": {"method": "wanda", "percent": 0.5}}]},
            "percent must be a whole number of percent, got 0.5 at block 0: change it",
        ),
        (
            {"schema": 1, "blocks": [KEEP | {"pruning": {"ffn_width": True}}]},
            "must be a whole number of percent, got True",
        ),
        (
            {"schema": 1, "blocks": [KEEP | {"pruning": {"method": "wanda", "pattern": "2/4"}}]},
            "must be n:m such as 2:4",
        ),
        (
            {"schema": 1, "blocks": [{"op": "skip_attn", "pruning": {"head_width": 50}}]},
            "a pruning must be of what the block runs, got one of more for op skip_attn: leave that out",
        ),
        (
            {"schema": 1, "blocks": [KEEP | {"pruning": {"ffn_width": 50}}], "pruning": {"head_width": 50}},
            "a pruning must be given for the whole plan or for single blocks, got both: remove one",
        ),
        ({"schema": 1}, "must be a list of objects, got None: write "),
        ({"schema": 1, "blocks": []}, "must be a list of objects, got []: write "),
        ({"schema": 1, "blocks": "..b"}, "must be a list of objects, got '..b': write "),
        ({"schema": 1, "blocks": {"op": "keep"}}, "must be a list of objects, got {'op': 'keep'}: write "),
        (
            {"schema": 1, "blocks": [KEEP, "keep"]},
            "block 1 (counted from 0) of a plan must be an object with an op, ",
        ),
        (
            {"schema": 1, "blocks": [{}]},
            "block 0 (counted from 0) of a plan must be an object with an op, got {}:",
        ),
        (
            {"schema": 1, "blocks": [{"op": "kep"}]},
            "unknown op 'kep' at block 0 (did you mean 'keep'?)",
        ),
        (
            {"schema": 1, "blocks": [{"op": None}]},
            "unknown op None at block 0: an op is one of keep, ",
        ),
        ({"schema": 1, "blocks": [{"op": ["keep"]}]}, "unknown op ['keep'] at block 0"),
        (
            {"schema": 1, "blocks": [KEEP | {"scope": "visual"}]},
            "block 0 (counted from 0): a block with op keep must have no scope, got visual: leave it out",
        ),
        (
            {"schema": 1, "blocks": [{"op": "skip_attn", "scope": "picture"}]},
            "unknown scope 'picture' at block 0: a scope is one of all, visual, prompt, generated",
        ),
        ({"schema": 1, "blocks": [{"op": "skip_attn", "scope": None}]}, "unknown scope None at block 0"),
        (
            {"schema": 1, "blocks": [{"op": "skip_attn", "scop": "all"}]},
            "the keys are op, scope, variant, pruning; remove it",
        ),
        (
            {"schema": 1, "blocks": [{"op": "pair", "variant": "product"}, {"op": "paired"}]},
            "unknown variant 'product' at block 0: a pair's variant is one of sum, mean",
        ),
        (
            {"schema": 1, "blocks": [{"op": "skip_ffn", "variant": "mean"}]},
            "block 0 (counted from 0): only a pair has a variant, got mean for op skip_ffn: leave it out",
        ),
        ({"schema": 1, "blocks": [{"op": "pair"}, KEEP]}, "must be two blocks, pair then paired, got pair at block 0"),
        ("[" * 100_000, "must be valid JSON, got '[[[["),
        (
            '{"schema": 1, "schema": 2, "blocks": []}',
            "a key of a plan must be given once, got 'schema' twice: remove",
        ),
    ],
)
def test_wrong_json_is_refused(source, message):
    with pytest.raises(PlanError) as caught:
        Plan.from_json(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("constant", ["NaN", "Infinity"])
def test_python_only_constants_are_refused(constant):
    with pytest.raises(PlanError):
        Plan.from_json(f'{{"schema": {constant}, "blocks": [{{"op": "keep"}}]}}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.sampled_from(["schema", "blocks", "op"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values)
def test_any_other_json_raises_a_plan_error_of_one_line(value):
    for source in (value, json.dumps(value)):
        with pytest.raises(PlanError) as caught:
            Plan.from_json(source)
        assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_raises_a_plan_error_of_one_line(text):
    with pytest.raises(PlanError) as caught:
        Plan.from_json(text)
    assert "\n" not in str(caught.value)
