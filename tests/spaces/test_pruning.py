"""Pruning in plans: the meaning of each form, one form per plan, counts by hand, and errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.plan import Block, Op, Plan, PlanError, Scope
from spaces.pruning import Calibration, Linears, Method, Pattern, Pruning
from spaces.pruning_forms import pruning_fields, pruning_of_fields, pruning_of_text, text_of_pruning
from tests.spaces.drawn import plans, pruned_plans, prunings

WANDA = Pruning(Method.WANDA, 50)


@pytest.mark.parametrize(
    ("text", "pruning", "fields"),
    [
        ("w50", WANDA, {"method": "wanda", "percent": 50}),
        ("m30/ffn", Pruning(Method.MAGNITUDE, 30, linears=Linears.FFN), None),
        ("w2:4", Pruning(Method.WANDA, pattern=Pattern(2, 4)), {"method": "wanda", "pattern": "2:4"}),
        (
            "w4:8/attn/image",
            Pruning(Method.WANDA, pattern=Pattern(4, 8), linears=Linears.ATTENTION, calibration=Calibration.IMAGE),
            {"method": "wanda", "pattern": "4:8", "linears": "attn", "calibration": "image"},
        ),
        ("saved", Pruning(Method.SAVED), {"method": "saved"}),
        ("ffn75,h50/text", Pruning(ffn_width=75, head_width=50, calibration=Calibration.TEXT), None),
        ("w50,h25", Pruning(Method.WANDA, 50, head_width=25), {"method": "wanda", "percent": 50, "head_width": 25}),
    ],
)
def test_forms_by_hand(text, pruning, fields):
    assert pruning_of_text(text) == pruning
    assert text_of_pruning(pruning) == text
    if fields is not None:
        assert pruning_fields(pruning) == fields


@given(prunings)
def test_both_forms_round_trip(pruning):
    assert pruning_of_text(text_of_pruning(pruning)) == pruning
    assert pruning_of_fields(json.loads(json.dumps(pruning_fields(pruning))), "") == pruning


@given(plans(), prunings)
def test_a_pruning_in_front_is_that_of_every_block_that_runs_what_it_prunes(plan, pruning):
    single = Plan(tuple(block.pruned(block.part_of(pruning)) for block in plan.blocks))
    if single == plan:  # every block skips the pruned sub-layer
        with pytest.raises(PlanError):
            Plan.parse(f"{{{text_of_pruning(pruning)}}}{plan}")
        return
    assert Plan.parse(f"{{{text_of_pruning(pruning)}}}{plan}") == single
    whole = json.loads(plan.to_json()) | {"pruning": pruning_fields(pruning)}
    assert Plan.from_json(whole) == single
    assert Plan.from_json(whole).digest == single.digest


@given(pruned_plans())
def test_plans_written_block_by_block_are_the_same_plans(plan):
    blocks = [json.loads(Plan((block,)).to_json()) for block in plan.blocks if block.op not in (Op.PAIR, Op.PAIRED)]
    apart = [{**one["blocks"][0], **({"pruning": one["pruning"]} if one["pruning"] else {})} for one in blocks]
    if len(apart) == len(plan):
        assert Plan.from_json({"schema": 1, "blocks": apart}) == plan


def test_text_by_hand():
    assert str(Plan.parse(".{w50}.{w50}b.{w50}")) == "{w50}..b."
    assert str(Plan.parse("av{h50}f{w50/attn}({ffn25})t{saved}p")) == "av{h50}f{w50/attn}({ffn25})t{saved}p"
    assert Plan.parse("{ffn50,h50}.a").blocks == (
        Block(pruning=Pruning(ffn_width=50, head_width=50)),
        Block(Op.SKIP_ATTN, pruning=Pruning(ffn_width=50)),
    )
    assert [block.name for block in Plan.parse(".av{w2:4}").blocks] == ["keep", "skip_attn:visual{w2:4}"]


def test_digest_is_stable():
    """Stored runs are found by digest: a change makes existing databases unusable."""
    assert Plan.parse("{w50}.a").digest == Plan.parse(".{w50}a{w50}").digest
    assert Plan.parse("{w50}.a").to_json() == (
        '{"schema":1,"blocks":[{"op":"keep"},{"op":"skip_attn"}],"pruning":{"method":"wanda","percent":50}}'
    )
    assert Plan.parse("..{ffn50}").to_json() == (
        '{"schema":1,"blocks":[{"op":"keep"},{"op":"keep","pruning":{"ffn_width":50}}],"pruning":null}'
    )


def test_a_pruned_plan_is_not_dense():
    plan = Plan.parse("..{w50}.")
    assert not plan.is_dense and plan.num_changed == 1
    assert plan.is_calibrated and not Plan.parse("{m50}...").is_calibrated and Plan.parse("{h50}..").is_calibrated


@given(st.integers(1, 500), st.integers(1, 99))
def test_kept_weights_of_a_share(columns, percent):
    zeros = columns - Pruning(Method.WANDA, percent).kept_weights(columns)
    assert zeros <= columns * percent / 100 < zeros + 1


@pytest.mark.parametrize(("columns", "kept"), [(8, 4), (10, 6), (9, 5), (3, 2), (1, 1)])
def test_kept_weights_of_a_pattern(columns, kept):
    """A last group that is shorter keeps up to two of its weights."""
    assert Pruning(Method.WANDA, pattern=Pattern(2, 4)).kept_weights(columns) == kept


@pytest.mark.parametrize(
    ("count", "percent", "kept"), [(192, 75, 144), (192, 50, 96), (6, 50, 3), (3, 50, 2), (2, 1, 1), (1, 50, 1)]
)
def test_widths_by_hand(count, percent, kept):
    assert Pruning(ffn_width=percent).kept_channels(count) == kept
    assert Pruning(head_width=percent).kept_groups(count) == kept


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plan.parse(".{w50"), "a pruning must be closed by }, got '{w50' at block 0 (counted from 0)"),
        (lambda: Plan.parse(".{w50}{w50}"), "a pruning must follow a block, once, got '{' at block 1"),
        (lambda: Plan.parse(".}"), "a pruning must follow a block, once, got '}' at block 1 (counted from 0) of '.}'"),
        (lambda: Plan.parse("{w50}"), "a plan text must hold one character per block, got '{w50}'"),
        (lambda: Plan.parse(".{x50}"), "unknown pruning 'x50' in {x50}: write one such as {w50}, {m2:4/ffn}, {saved}"),
        (lambda: Plan.parse(".{}"), "unknown pruning '' in {}"),
        (lambda: Plan.parse(".{w50/fnn}"), "must be attn, ffn, text or image, got 'fnn' in {w50/fnn}"),
        (lambda: Plan.parse(".{w50/ffn/attn}"), "linears of a pruning must be given once, got {w50/ffn/attn}"),
        (lambda: Plan.parse(".{w50,m50}"), "method of a pruning must be given once"),
        (lambda: Plan.parse(".{w100}"), "percent must be 1 to 99 of the weights that become zero, got 100"),
        (lambda: Plan.parse(".{w4:4}"), "must keep 1 to m - 1 of m weights, got 4:4"),
        (lambda: Plan.parse(".{ffn0}"), "ffn_width must be 1 to 100 percent that stay, got 0"),
        (lambda: Plan.parse(".{m50/image}"), "only wanda and widths are calibrated, got image"),
        (lambda: Plan.parse(".{ffn50/attn}"), "only a method has linears, got attn for a width"),
        (lambda: Plan.parse("b{w50}"), "must be of what the block runs, got one of more for op skip_block"),
        (lambda: Plan.parse("{h50}aab"), "a pruning must concern a block, got {h50} where none runs it: remove it"),
        (lambda: Plan.parse("{h50}.{w50}"), "for the whole plan or for single blocks, got both: remove one"),
        (lambda: Plan.of(["keep{w5O}"]), "unknown pruning 'w5O'"),
        (lambda: Pruning(), "a pruning must have a method or a width below 100 percent, got neither"),
        (lambda: Pruning(Method.WANDA), "percent or a pattern, a saved mask and a width alone neither, got wanda"),
        (lambda: Pruning(Method.SAVED, 50), "neither, got saved with 50"),
        (lambda: Plan.parse(".{saved,h50}"), "of whole matrices and goes with no width, got head_width 50: remove one"),
        (lambda: Pruning("wanda", 50), "method of a Pruning has another type, got 'wanda'"),
        (lambda: Pruning(Method.WANDA, True), "percent of a Pruning has another type, got True"),
    ],
)  # fmt: skip
def test_wrong_pruning_is_refused(make, message):
    with pytest.raises(PlanError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet=".ab{}w:m,/0123ffnhsavedtxe4", max_size=12))
def test_any_text_is_a_plan_or_raises_a_plan_error_of_one_line(text):
    try:
        plan = Plan.parse(text)
    except PlanError as error:
        assert "\n" not in str(error)
    else:
        assert Plan.parse(str(plan)) == plan


@given(prunings, st.sampled_from(Op), st.sampled_from(Scope))
def test_what_a_scope_leaves_running_can_be_pruned(pruning, op, scope):
    if op in (Op.KEEP, Op.PAIRED) or scope is Scope.ALL:
        return
    block = Block(op, scope)
    assert block.part_of(pruning) == pruning
