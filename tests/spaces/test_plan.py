"""The plan as a value, as text and as JSON: round trips, identity, and errors."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.block import SINGLE_OPS
from spaces.plan import Block, Group, Op, Plan, PlanError, Scope, Variant
from spaces.plan_text import runs_of_text
from tests.spaces.drawn import cross_plans, ops, plans, pruned_plans, scopes, unscoped_plans

LEGEND = ". keep, a skip_attn, f skip_ffn, b skip_block, p parallel, c skip_cross, () pair, [] pair of mean"
HALF = "a pair must be two blocks, pair then paired, "
MARK, AT_MOST = "a scope mark must follow an op, ", "one op, then at most one of v visual, t prompt, g generated"
NAMES = "keep, skip_attn, skip_ffn, skip_block, parallel, skip_cross, pair, paired"


@given(pruned_plans() | cross_plans())
def test_text_round_trips(plan):
    assert Plan.parse(str(plan)) == plan
    assert str(Plan.parse(str(plan))) == str(plan)


@given(st.text(alphabet=".afbpc", min_size=1, max_size=40))
def test_every_text_over_the_alphabet_is_a_plan(text):
    assert str(Plan.parse(text)) == text


@given(pruned_plans() | cross_plans())
def test_runs_are_read_as_the_plan_they_were_made_of(plan):
    assert Plan.parse(runs_of_text(str(plan))) == plan


@pytest.mark.parametrize(
    ("text", "runs"),
    [("....ffb", "4. 2f b"), ("." * 80, "80."), ("{w50}..b", "{w50} 2. b"), ("av av .()()", "2av . 2()")],
)
def test_equal_neighbours_are_counted(text, runs):
    assert runs_of_text(text) == runs
    assert str(Plan.parse(runs)) == text.replace(" ", "")


@given(pruned_plans() | cross_plans())
def test_json_round_trips(plan):
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_json(json.loads(plan.to_json())) == plan
    assert Plan.from_json(plan.to_json()).to_json() == plan.to_json()


@given(pruned_plans())
def test_json_with_other_spacing_and_key_order_is_the_same_plan(plan):
    loose = json.dumps(dict(reversed(json.loads(plan.to_json()).items())), indent=3)
    assert Plan.from_json(loose).digest == plan.digest


@given(unscoped_plans())
def test_ops_round_trip(plan):
    assert len(str(plan)) == len(plan)
    assert Plan.of(plan.ops) == plan
    assert Plan.of(str(op) for op in plan.ops) == plan
    assert Plan(tuple(Block(op) for op in plan.ops)) == plan


@given(pruned_plans(), pruned_plans())
def test_digest_is_the_identity(first, second):
    assert (first.digest == second.digest) == (first == second)
    assert first != second or hash(first) == hash(second)


@given(pruned_plans())
def test_pickled_plan_is_equal(plan):
    plan.digest  # noqa: B018  cached values must not stand in the way
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_canonical_json_is_stable():
    text = (
        '{"schema":1,"blocks":[{"op":"keep"},{"op":"skip_attn"},{"op":"skip_ffn"},'
        '{"op":"skip_block"},{"op":"parallel"}],"pruning":null}'
    )
    assert Plan.parse(".afbp").to_json() == text


def test_digest_is_stable():
    """Stored runs are found by digest: a change makes existing databases unusable."""
    assert Plan.parse(".afbp").digest == "0b2e3ad6e86816a9471b98ad87f2e90bc61b0b577f15fca6703277ea5d6d50d7"
    assert Plan.dense(12).digest == "0416f1408ffced6717364bc00392423d5781b0e8a176cd8439423ea9ad007f51"


@given(pruned_plans())
def test_blocks_and_their_names_round_trip(plan):
    assert Plan.of(plan.blocks) == plan
    assert Plan.of(block.name for block in plan.blocks) == plan


@given(unscoped_plans(), st.data())
def test_replace_changes_one_block(plan, data):
    index, op = data.draw(st.integers(0, len(plan) - 1)), data.draw(ops)
    changed = plan.replace(index, op)
    assert changed.ops[index] == op
    assert [a for i, a in enumerate(changed.ops) if i != index] == [a for i, a in enumerate(plan.ops) if i != index]


@given(plans())
def test_counts_add_up(plan):
    counts = plan.counts()
    assert list(counts) == NAMES.split(", ")
    assert sum(counts.values()) == len(plan)
    assert all(counts[op] == str(plan).count(op.char) for op in (*SINGLE_OPS, Op.SKIP_CROSS))
    assert counts["pair"] == counts["paired"] == str(plan).count("(") + str(plan).count("[")
    assert plan.num_changed == len(plan) - counts["keep"]
    assert plan.is_dense == (plan.num_changed == 0) == (plan == Plan.dense(len(plan)))


def test_which_sublayers_run():
    assert [op.runs_attention for op in Op] == [True, False, True, False, True, False, True, True]
    assert [op.runs_ffn for op in Op] == [True, True, False, False, True, True, True, True]
    assert (Plan.parse(".afbp.aa").num_attention, Plan.parse(".afbp.aa").num_ffn) == (4, 6)


@given(ops, scopes)
def test_tokens_outside_of_the_scope_run_everything(op, scope):
    block = Block(op, Scope.ALL if op is Op.KEEP else scope)
    for group in Group:
        inside = group in block.scope.groups
        assert block.runs_attention(group) == (op.runs_attention or not inside)
        assert block.runs_ffn(group) == (op.runs_ffn or not inside)
    assert block.caches == block.runs_attention(Group.GENERATED)


def test_scopes_by_hand():
    assert {str(scope): sorted(scope.groups) for scope in Scope} == {
        "all": ["generated", "text", "visual"],
        "visual": ["visual"],
        "prompt": ["text", "visual"],
        "generated": ["generated"],
    }


def test_scoped_text_by_hand():
    plan = Plan.parse(".av.bg()t[]pfv")
    names = "keep skip_attn:visual keep skip_block:generated pair:prompt paired pair:all:mean paired parallel"
    assert [block.name for block in plan.blocks] == [*names.split(), "skip_ffn:visual"]
    assert len(plan) == 10 and plan.num_changed == 8
    # only an op for all tokens removes a sub-layer
    assert (plan.num_attention, plan.num_ffn) == (10, 10)
    assert (Plan.parse("bav").num_attention, Plan.parse("bav").num_ffn) == (1, 1)


def test_scoped_json_by_hand():
    blocks = (
        '{"op":"skip_attn","scope":"visual"},{"op":"pair","scope":"prompt","variant":"mean"},{"op":"paired"},'
        '{"op":"pair"},{"op":"paired"},{"op":"keep"}'
    )
    assert Plan.parse("av[]t().").to_json() == f'{{"schema":1,"blocks":[{blocks}],"pruning":null}}'
    assert Plan.parse("av[]t().").digest == "f53e8f67a89a357e8592c1f7f1485ba49e608a6063de95b92e7f61bcb1582d3c"


def test_plan_cannot_be_changed():
    plan = Plan.parse("..b.")
    with pytest.raises(AttributeError):
        plan.blocks = ()
    with pytest.raises(AttributeError):
        plan.blocks[0].op = Op.SKIP_BLOCK


def test_space_around_a_text_is_ignored():
    assert Plan.parse(" ..b\n") == Plan.parse("..b")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Plan.parse("..x."),
            f"unknown op 'x' at block 2 (counted from 0) of '..x.': an op is one of {LEGEND}",
        ),
        *(
            (
                lambda text=text: Plan.parse(text),
                f"a number must be 1 to 4096 and precede the block that it repeats, got {number!r} at block {block} "
                f"(counted from 0) of {text!r}: write 4. for ....",
            )
            for text, number, block in [("3", "3", 0), ("0.", "0", 0), ("..99999f", "99999", 2), (". 4", "4", 1)]
        ),
        (lambda: Plan.parse(" "), f"a plan text must hold one character per block, got ' ': {LEGEND}"),
        (lambda: Plan.of([]), "a plan must have at least one block, got none: use Plan.dense(num_blocks)"),
        (lambda: Plan.dense(0), "a plan must have at least one block, got none: use Plan.dense(num_blocks)"),
        (
            lambda: Plan.of(["keep", "skip_atn"]),
            f"unknown op 'skip_atn' at block 1 (did you mean 'skip_attn'?): an op is one of {NAMES}",
        ),
        (lambda: Plan.of([3]), f"unknown op 3 at block 0: an op is one of {NAMES}"),
        (
            lambda: Plan.of(["skip_attn:visal"]),
            "unknown scope 'visal' at block 0 (did you mean 'visual'?): "
            "a scope is one of all, visual, prompt, generated",
        ),
        (
            lambda: Plan.of(["pair:all:men", "paired"]),
            "unknown variant 'men' at block 0 (did you mean 'mean'?): a pair's variant is one of sum, mean",
        ),
        (
            lambda: Plan.of(["pair:all:mean:x", "paired"]),
            "a block must be named OP, OP:SCOPE or OP:SCOPE:VARIANT, got 'pair:all:mean:x' at block 0: shorten it",
        ),
        (lambda: Plan.of(["pair"]), HALF + "got pair at block 0 before the end: change both of them"),
        (lambda: Plan.of(["pair", "keep"]), HALF + "got pair at block 0 before keep: change both of them"),
        (lambda: Plan.of(["keep", "paired"]), HALF + "got keep at block 0 before paired: change both of them"),
        (lambda: Plan.of(["paired"]), HALF + "got paired at block 0: change both of them"),
        (lambda: Plan.parse("()").replace(1, "keep"), HALF + "got pair at block 0 before keep: change both of them"),
        (
            lambda: Plan.parse("..(."),
            "a pair must be closed at once, got '(' without ')' at block 2 (counted from 0) of '..(.': write ()",
        ),
        (
            lambda: Plan.parse("(]"),
            "a pair must be closed at once, got '(' without ')' at block 0 (counted from 0) of '(]': write ()",
        ),
        (
            lambda: Plan.parse("()]"),
            "a pair must be opened before it is closed, got ']' at block 2 (counted from 0) of '()]': write () or []",
        ),
        (
            lambda: Plan.parse("va"),
            MARK + "got 'v' at block 0 (counted from 0) of 'va': " + AT_MOST,
        ),
        (lambda: Plan.parse(".avt"), MARK + "got 't' at block 2 (counted from 0) of '.avt': " + AT_MOST),
        (
            lambda: Plan.parse("a.g"),
            "a kept block must have no scope mark, got 'g' at block 1 (counted from 0) of 'a.g': remove it",
        ),
        (
            lambda: Block(Op.KEEP, Scope.VISUAL),
            "a block with op keep must have no scope, got visual: leave it out",
        ),
        (
            lambda: Block(Op.PAIRED, Scope.PROMPT),
            "a block with op paired must have no scope, got prompt: give the scope to the first block of the pair",
        ),
        (
            lambda: Block(Op.PARALLEL, variant=Variant.MEAN),
            "only a pair has a variant, got mean for op parallel: leave it out",
        ),
        (
            lambda: Block(Op.SKIP_FFN, "visual"),
            "scope and variant of a Block must be a Scope and a Variant, got 'visual' and "
            "<Variant.SUM: 'sum'>: use Block.named",
        ),
        (lambda: Plan.dense(3).replace(3, "keep"), "block 3 is not in this plan: it has blocks 0 to 2"),
        (lambda: Plan.dense(3).replace(-1, "keep"), "block -1 is not in this plan: it has blocks 0 to 2"),
        (lambda: Block("keep"), "the op of a Block must be an Op, got 'keep': use Plan.of or Plan.parse"),
        (lambda: Plan([Block()]), "the blocks of a Plan must be a tuple of Block: use Plan.of or Plan.parse"),
    ],
)
def test_wrong_plan_is_refused(make, message):
    with pytest.raises(PlanError) as caught:
        make()
    assert str(caught.value) == message
