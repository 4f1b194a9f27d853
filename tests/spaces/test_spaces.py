"""Every space against a slow definition, and the contract of all spaces."""

import contextlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.block import SINGLE_OPS
from spaces.interval import run_of
from spaces.kinds import PLAIN, BlockKind, left_out
from spaces.patterns import baselines
from spaces.plan import Block, Op, Plan, PlanError, Scope, Variant
from spaces.pruning_forms import pruning_of_text
from spaces.spaces import PRUNINGS, SPACES, load_space
from tests.fast import draws
from tests.spaces.drawn import generators, plans

CHANGES = [op for op in SINGLE_OPS if op is not Op.KEEP]
LEVELS = [Block(op, scope) for op in CHANGES for scope in Scope]
PAIRS = [Block(Op.PAIR, scope, variant) for scope in Scope for variant in Variant]
subsets = st.sets(st.sampled_from(CHANGES), min_size=1)


def brute_force_product(num_blocks, ops):
    return {Plan.of(row) for row in itertools.product([Op.KEEP, *ops], repeat=num_blocks)}


def brute_force_interval(num_blocks, ops):
    """The paper's rule over every setting: block i is changed when start < i < end and i % interval == 0."""
    settings = itertools.product(ops, range(1, num_blocks + 1), range(-1, num_blocks + 1), range(-1, num_blocks + 2))
    return {
        Plan.of(op if start < i < end and i % interval == 0 else Op.KEEP for i in range(num_blocks))
        for op, interval, start, end in settings
    }


def brute_force_scoped(num_blocks, ops, pairs=False):
    """Every sequence of blocks with any op and scope that is a plan at all."""
    levels = [Block(), *(level for level in LEVELS if level.op in ops)]
    levels += [*PAIRS, Block(Op.PAIRED)] if pairs else []
    found = set()
    for row in itertools.product(levels, repeat=num_blocks):
        with contextlib.suppress(PlanError):
            found.add(Plan(row))
    return found


def brute_force_full(num_blocks, ops):
    """Every sequence of blocks with any op, for all tokens or visual ones, and any pruning that fits such a block."""
    levels = []
    for op, scope, pruning in itertools.product([Op.KEEP, *ops], (Scope.ALL, Scope.VISUAL), [None, *PRUNINGS]):
        with contextlib.suppress(PlanError):
            levels.append(Block(op, scope, pruning=pruning and pruning_of_text(pruning)))
    return {Plan(row) for row in itertools.product(levels, repeat=num_blocks)}


BRUTE_FORCE = {
    "full": brute_force_full,
    "scoped": brute_force_scoped,
    "interval": brute_force_interval,
    "blocks": brute_force_product,
    "layers": brute_force_product,
}


@st.composite
def small_spaces(draw):
    name = draw(st.sampled_from(list(SPACES)))
    if name == "scoped":
        return load_space(name, draw(st.integers(1, 2)), ops=draw(subsets), pairs=draw(st.booleans()))
    if name == "full":
        prunings = draw(st.sets(st.sampled_from(["h50", "w50/ffn", "m2:4", "ffn50,h25"]), max_size=2))
        return load_space(name, draw(st.integers(1, 2)), ops=draw(subsets), scopes=["all"], prunings=prunings)
    return load_space(name, draw(st.integers(1, 6 if name != "layers" else 4)), ops=draw(subsets))


@st.composite
def large_spaces(draw):
    name, options = draw(st.sampled_from(list(SPACES))), {"ops": draw(subsets)}
    if name in ("scoped", "interval", "full"):
        options["scopes"] = draw(st.sets(st.sampled_from(Scope), min_size=1))
    if name in ("scoped", "full"):
        options["pairs"] = draw(st.booleans())
    return load_space(name, draw(st.integers(1, 32)), **options)


def members(space, rng, count=2):
    return [space.sample(rng) for _ in range(count)]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("num_blocks", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("ops", [CHANGES, [Op.SKIP_BLOCK], [Op.SKIP_ATTN, Op.PARALLEL]])
def test_enumerate_equals_brute_force(name, num_blocks, ops):
    if name in ("scoped", "full") and num_blocks > 2:
        pytest.skip("too many plans; the pairs are tested below")
    space = load_space(name, num_blocks, ops=ops)
    listed = list(space.enumerate())
    assert len(listed) == len(set(listed)) == space.size
    assert set(listed) == BRUTE_FORCE[name](num_blocks, ops)
    assert listed[0].is_dense
    assert listed == list(space.enumerate())


@pytest.mark.parametrize("num_blocks", [8, 12, 13])
def test_interval_enumerate_equals_brute_force_at_depth(num_blocks):
    space = load_space("interval", num_blocks)
    assert set(space.enumerate()) == brute_force_interval(num_blocks, CHANGES)
    assert space.size == len(list(space.enumerate()))


def test_sizes():
    assert load_space("blocks", 12).size == 2**12
    assert load_space("layers", 24).size == 5**24
    assert load_space("layers", 100).size == 5**100
    assert load_space("layers", 3, ops=["skip_attn"]).size == 2**3
    # 3 blocks: 1 dense, and for each of 4 ops the sets 0, 1, 2, 01, 12, 012 (interval 1) and 02 (interval 2)
    assert load_space("interval", 3).size == 1 + 4 * 7


@given(small_spaces(), st.data())
def test_check_and_contains_agree_with_the_enumeration(space, data):
    plan = data.draw(plans(space.num_blocks, space.num_blocks))
    inside = plan in set(space.enumerate())
    assert (plan in space) == inside
    if inside:
        space.check(plan)
    else:
        with pytest.raises(PlanError):
            space.check(plan)


@given(large_spaces(), generators)
def test_samples_mutations_and_crossovers_stay_in_the_space(space, rng):
    first, second = members(space, rng)
    space.check(first)
    mutated = space.mutate(first, rng)
    space.check(mutated)
    assert mutated != first
    space.check(space.crossover(first, second, rng))


@given(large_spaces(), generators)
@settings(max_examples=draws(30))
def test_neighbors_are_distinct_others_in_the_space(space, rng):
    plan = space.sample(rng)
    near = list(space.neighbors(plan))
    assert near
    assert len(near) == len(set(near))
    assert plan not in near
    assert all(other in space for other in near)
    assert near == list(space.neighbors(plan))


@given(small_spaces())
@settings(max_examples=draws(25))
def test_neighbors_reach_the_whole_space(space):
    reached, edge = {Plan.dense(space.num_blocks)}, [Plan.dense(space.num_blocks)]
    while edge:
        edge = [other for plan in edge for other in space.neighbors(plan) if other not in reached]
        edge = list(dict.fromkeys(edge))
        reached.update(edge)
    assert len(reached) == space.size


@pytest.mark.parametrize("name", ["blocks", "layers"])
def test_product_neighbors_are_all_plans_at_distance_one(name):
    space = load_space(name, 4)
    for plan in itertools.islice(space.enumerate(), 0, None, 7):
        near = {p for p in space.enumerate() if sum(a != b for a, b in zip(p.ops, plan.ops, strict=True)) == 1}
        assert set(space.neighbors(plan)) == near


@given(st.sampled_from(["blocks", "layers"]), st.integers(1, 20), generators)
def test_product_crossover_takes_every_block_from_a_parent(name, num_blocks, rng):
    space = load_space(name, num_blocks)
    first, second = members(space, rng)
    child = space.crossover(first, second, rng)
    assert all(c in pair for c, *pair in zip(child.ops, first.ops, second.ops, strict=True))


@pytest.mark.parametrize("num_blocks", [1, 2, 3, 4])
def test_scoped_with_pairs_equals_brute_force(num_blocks):
    space = load_space("scoped", num_blocks, ops=["skip_attn"], scopes=["visual", "all"], pairs=True)
    choice = [Block(), Block(Op.SKIP_ATTN), Block(Op.SKIP_ATTN, Scope.VISUAL), Block(Op.PAIRED)]
    choice += [pair for pair in PAIRS if pair.scope in (Scope.ALL, Scope.VISUAL)]
    wanted = set()
    for row in itertools.product(choice, repeat=num_blocks):
        with contextlib.suppress(PlanError):
            wanted.add(Plan(row))
    listed = list(space.enumerate())
    assert set(listed) == wanted
    assert len(listed) == len(wanted) == space.size
    rng = np.random.default_rng(0)
    if num_blocks < 4:
        assert {space.sample(rng) for _ in range(60 * space.size)} == wanted


@given(st.integers(2, 20), generators)
def test_a_pair_is_changed_as_one(num_blocks, rng):
    """No neighbor of a plan differs from it in more than the choice of one block, pairs that begin or end included."""
    space = load_space("scoped", num_blocks, pairs=True)
    plan = space.sample(rng)
    for other in space.neighbors(plan):
        differing = [i for i, (a, b) in enumerate(zip(plan.blocks, other.blocks, strict=True)) if a != b]
        assert differing[-1] - differing[0] <= 2
        assert len(differing) == 1 or Op.PAIR in (plan.ops[differing[0]], other.ops[differing[0]])


def test_interval_with_scopes():
    space = load_space("interval", 3, scopes=["visual", "generated"])
    assert space.size == 1 + 8 * 7
    assert Plan.parse(".bgbg") in space and Plan.parse(".bvbg") not in space and Plan.parse(".bb") not in space


def test_scoped_holds_every_op_in_every_scope():
    space = load_space("scoped", 12)
    assert space.size == 17**12
    assert {block.name for block in space.choices(3)} == {"keep", *(level.name for level in LEVELS)}
    with_pairs = load_space("scoped", 12, pairs=True)
    assert len(with_pairs.choices(3)) == 17 + 8 and len(with_pairs.choices(11)) == 17
    assert Plan.parse("avbg.ptf()v[]t().") in with_pairs and Plan.parse("avbg.ptf()v[]t().") not in space


def test_full_holds_every_pruning_of_what_a_block_runs():
    space = load_space("full", 12)
    names = [block.name for block in space.choices(3)]
    assert len(names) == len(set(names)) == 53 and space.size == 53**12
    unscoped = [name for name in names if name.startswith("skip_ffn") and not name.startswith("skip_ffn:")]
    assert unscoped == ["skip_ffn", "skip_ffn{h50}", "skip_ffn{w50}", "skip_ffn{w2:4}"]
    assert {"keep{ffn25}", "skip_attn{ffn75}", "parallel:visual{h50}", "skip_block:visual{w50}"} <= set(names)
    assert not {"skip_attn{h50}", "skip_block{w50}", "keep{ffn50,h50}"} & set(names)
    assert Plan.parse("{ffn50}....b.a.p..b") in space and Plan.parse("{ffn50/image}............") not in space
    own = load_space(
        "full", 12, ops=["skip_block"], scopes=["all"], prunings=["{saved/ffn}", "w50,h75/text"], pairs=True
    )
    assert [block.name for block in own.choices(0)][:2] == ["keep", "skip_block"]
    assert Plan.parse("().{saved/ffn}.{w50,h75/text}b.......") in own and len(own.choices(11)) == 4
    assert Plan.parse("({saved/ffn})..........") not in own and Plan.parse("(){saved/ffn}..........") not in own


@given(st.integers(1, 24), st.integers(1, 24), st.integers(-1, 24), st.integers(-1, 25))
def test_run_of_is_the_rule_of_the_paper(num_blocks, interval, start, end):
    run = run_of(interval, start, end, num_blocks)
    rule = [i for i in range(num_blocks) if start < i < end and i % interval == 0]
    assert ([] if run is None else list(run.blocks)) == rule


def test_interval_neighbors_by_hand():
    space = load_space("interval", 8, ops=["skip_attn", "skip_block"])
    assert set(map(str, space.neighbors(Plan.parse("..b.b.b.")))) == {
        "..a.a.a.",  # another op
        "b.b.b.b.",  # one more at the start; there is no block 8
        "....b.b.",
        "..b.b...",
        "b.b.b...",  # moved on by the interval; not beyond the end
        "..bbbbb.",  # interval 1 and 3 between the same ends
        "...b..b.",
    }
    assert set(map(str, space.neighbors(Plan.parse("....b...")))) == {
        "....a...",
        "........",
        *("...bb...", "....bb..", "...b....", ".....b.."),  # interval 1
        *("..b.b...", "....b.b.", "..b.....", "......b."),  # interval 2
        *("b...b...", "b......."),  # interval 4
    }


@given(st.integers(2, 24), generators)
def test_interval_crossover_takes_op_interval_and_ends_from_the_parents(num_blocks, rng):
    space = load_space("interval", num_blocks)
    parents = members(space, rng)
    child = space.crossover(*parents, rng)
    changed = [[i for i, op in enumerate(plan.ops) if op is not Op.KEEP] for plan in (child, *parents)]
    if all(changed):
        assert set(child.ops) <= {Op.KEEP} | set(parents[0].ops) | set(parents[1].ops)
        assert min(changed[1][0], changed[2][0]) <= changed[0][0]
        assert changed[0][-1] <= max(changed[1][-1], changed[2][-1])
    else:
        assert child in parents


@pytest.mark.parametrize("name", SPACES)
def test_crossover_mixes(name):
    """Children that equal neither parent are common, and the second parent's ops do come through."""
    space, rng = load_space(name, 12), np.random.default_rng(0)
    pairs = [members(space, rng) for _ in range(300)]
    children = [space.crossover(*pair, rng) for pair in pairs]
    assert sum(child not in pair for child, pair in zip(children, pairs, strict=True)) > 100


@pytest.mark.parametrize("name", ["blocks", "layers"])
def test_mutations_are_single_moves_and_level_switches(name):
    space, rng = load_space(name, 12), np.random.default_rng(0)
    parent = Plan.parse("..b..b.bb...")
    children = [space.mutate(parent, rng) for _ in range(600)]
    distances = [sum(a != b for a, b in zip(c.ops, parent.ops, strict=True)) for c in children]
    assert max(distances) <= 6
    assert distances.count(1) > 100
    switched = [c for c, d in zip(children, distances, strict=True) if d == 2 and c.counts() == parent.counts()]
    assert len(set(switched)) > 20


@pytest.mark.parametrize("name", SPACES)
def test_samples_cover_every_number_of_changed_blocks_evenly(name):
    space, rng = load_space(name, 9), np.random.default_rng(0)
    changed = np.bincount([space.sample(rng).num_changed for _ in range(3000)], minlength=10)
    assert len(changed) == 10
    assert changed.min() > 220  # 300 expected, standard deviation 16


def test_samples_of_layers_cover_the_range_of_what_is_left():
    """Share of sub-layers that run: with ops drawn evenly for every block it would rarely be below 0.4."""
    space, rng = load_space("layers", 24), np.random.default_rng(0)
    left = [sum(op.runs_attention + op.runs_ffn for op in space.sample(rng).ops) / 48 for _ in range(2000)]
    shares = np.histogram(left, bins=10, range=(0, 1))[0] / len(left)
    assert shares.min() > 0.005, shares


@pytest.mark.parametrize("name", SPACES)
def test_every_plan_of_a_small_space_is_sampled(name):
    space, rng = load_space(name, 3), np.random.default_rng(0)
    if name in ("scoped", "full"):
        space = load_space(name, 2, **({"prunings": ["h50"], "scopes": ["all"]} if name == "full" else {}))
    assert {space.sample(rng) for _ in range(30 * space.size)} == set(space.enumerate())


@pytest.mark.parametrize("name", SPACES)
def test_same_seed_same_plans(name):
    def draw(seed):
        space, rng = load_space(name, 12), np.random.default_rng(seed)
        first, second = members(space, rng)
        return first, second, space.mutate(first, rng), space.crossover(first, second, rng)

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


@pytest.mark.parametrize("name", SPACES)
def test_choices_start_with_keep_and_hold_every_op_used(name):
    space = load_space(name, 2 if name == "full" else 4, ops=["parallel", "skip_attn"])
    for i in range(space.num_blocks):
        ops = (Op.KEEP, Op.SKIP_ATTN, Op.PARALLEL)
        assert tuple(dict.fromkeys(block.op for block in space.choices(i))) == ops
        assert {plan.blocks[i] for plan in space.enumerate()} == set(space.choices(i))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: load_space("blcks", 12),
            "unknown space 'blcks' (did you mean 'blocks'?): known are interval, blocks, layers, scoped, full",
        ),
        (
            lambda: load_space("layers", 4, pairs=True),
            "unknown option of space 'layers' 'pairs': known are ops",
        ),
        (lambda: load_space("scoped", 4, scopes=["text"]), "unknown scope 'text' for a space"),
        (lambda: load_space("full", 4, prunings=["x50"]), "unknown pruning 'x50' in {x50}: write one such as "),
        (
            lambda: load_space("layers", 4, ops=["pair"]),
            "a pair takes two blocks and is no op of a block, got pair: use scoped with pairs=True",
        ),
        (
            lambda: load_space("scoped", 3, ops=["skip_ffn"]).check(Plan.parse(".fva")),
            "must be one of keep, skip_ffn, skip_ffn:visual, skip_ffn:prompt, skip_ffn:generated, "
            "got skip_attn at block 2 of '.fva'",
        ),
        (lambda: load_space("blocks", 0), "must have at least one block, got 0: give the depth of the model"),
        (
            lambda: load_space("layers", 4, ops=["keep"]),
            "must have an op other than keep, got none: give one of ",
        ),
        (lambda: load_space("layers", 4, ops=["skip"]), "unknown op 'skip' for a space"),
        (
            lambda: load_space("layers", 4).check(Plan.dense(3)),
            "a plan of space 'layers' must have 4 blocks, got 3 in '...': write one character per block",
        ),
        (
            lambda: load_space("interval", 4).check(Plan.dense(3)),
            "a plan of space 'interval' must have 4 blocks, got 3 in '...': write one character per block",
        ),
        (
            lambda: load_space("blocks", 4).check(Plan.parse("b.p.")),
            "a block in space 'blocks' must be one of keep, skip_block, got parallel at block 2 of ",
        ),
        (
            lambda: load_space("interval", 4).check(Plan.parse(".ab.")),
            "must use one op of skip_attn, skip_ffn, skip_block, parallel, got '.ab.': use one of them, or",
        ),
        (
            lambda: load_space("interval", 4, ops=["parallel"]).check(Plan.parse(".a..")),
            "must use one op of parallel, got '.a..': use one of them, or take a larger space",
        ),
        (
            lambda: load_space("interval", 4).check(Plan.parse(".b.b")),
            "must be consecutive multiples of one interval, got '.b.b': change every k-th block, ",
        ),
        (
            lambda: load_space("layers", 4).mutate(Plan.dense(3), np.random.default_rng(0)),
            "must have 4 blocks",
        ),
    ],
)
def test_wrong_use_is_refused(act, message):
    with pytest.raises(ValueError) as caught:
        act()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(large_spaces())
@settings(max_examples=draws(20))
def test_things_that_are_no_plans_are_in_no_space(space):
    assert "b" * space.num_blocks not in space
    assert Plan.dense(space.num_blocks + 1) not in space
    assert Plan.dense(space.num_blocks) in space


CROSS, JOINED, MIXTURE = BlockKind(is_cross=True), BlockKind(is_parallel=True), BlockKind(active_ffn_weights=9)
MIXED = [(CROSS, PLAIN), (PLAIN, CROSS, PLAIN), (JOINED, JOINED), (JOINED, CROSS, PLAIN)]


def brute_force_kinds(kinds, levels):
    """Every sequence of blocks with any op that is a plan at all and that every block can have."""
    found = set()
    for row in itertools.product([Block(), *levels], repeat=len(kinds)):
        if all(kind.refusal(block.op) is None for kind, block in zip(kinds, row, strict=True)):
            with contextlib.suppress(PlanError):
                found.add(Plan(row))
    return found


@pytest.mark.parametrize("kinds", MIXED)
def test_what_a_kind_of_block_cannot_have_is_left_out(kinds):
    layers = load_space("layers", len(kinds), kinds)
    plans = list(layers.enumerate())
    assert len(plans) == len(set(plans)) == layers.size
    assert set(plans) == brute_force_kinds(kinds, [Block(op) for op in (*CHANGES, Op.SKIP_CROSS)])
    joined = load_space("scoped", len(kinds), kinds, scopes=["all"], pairs=True)
    ends = [Block(Op.PAIR), Block(Op.PAIR, variant=Variant.MEAN), Block(Op.PAIRED)]
    assert set(joined.enumerate()) == brute_force_kinds(
        kinds, [*(Block(op) for op in (*CHANGES, Op.SKIP_CROSS)), *ends]
    )


@pytest.mark.parametrize("kinds", MIXED)
@given(rng=generators)
def test_moves_among_kinds_stay_in_the_space(kinds, rng):
    space = load_space("scoped", len(kinds), kinds, pairs=True)
    first, second = space.sample(rng), space.sample(rng)
    mutated = space.mutate(first, rng)
    assert mutated != first
    for plan in (first, second, mutated, space.crossover(first, second, rng), *space.neighbors(first)):
        space.check(plan)
        assert all(kind.refusal(op) is None for kind, op in zip(kinds, plan.ops, strict=True))
    for plan in baselines(space).values():
        space.check(plan)


def test_the_interval_space_has_the_ops_that_all_blocks_can_have():
    space = load_space("interval", 3, (PLAIN, CROSS, PLAIN))
    assert [level.op for level in space.choices(0)] == [Op.KEEP, Op.SKIP_FFN, Op.SKIP_BLOCK]


def test_mixtures_of_experts_are_not_pruned():
    space = load_space("full", 2, (MIXTURE, PLAIN))
    assert all(level.pruning is None for level in space.choices(0))
    assert any(level.pruning is not None for level in space.choices(1))


def test_what_is_left_out_is_said_by_reason():
    assert left_out([PLAIN, PLAIN]) == []
    assert left_out([JOINED, JOINED]) == ["parallel at every block: its attention and FFN read the same input already"]
    assert left_out([PLAIN, CROSS, PLAIN, CROSS]) == [
        "skip_attn, parallel, pair at blocks 1, 3: it attends to image features"
    ]


def test_patterns_skip_cross_where_attention_is_to_images():
    found = baselines(load_space("layers", 4, (PLAIN, CROSS, PLAIN, PLAIN)))
    assert str(found["interval-2:skip_attn"]) == "..a." and "interval-3:skip_attn" not in found
    assert str(baselines(load_space("layers", 6, (PLAIN,) * 2 + (CROSS,) + (PLAIN,) * 3))["interval-2:skip_attn"]) == (
        "..c.a."
    )


def test_blocks_are_pruned_as_their_kind_can_be():
    cross, experts = BlockKind(is_cross=True), BlockKind(active_ffn_weights=100)
    space = load_space(
        "full", 3, kinds=(BlockKind(), cross, experts), scopes=["all"], prunings=["h50", "w50", "w50/ffn", "ffn50"]
    )
    pruned = [{block.name.removeprefix("keep") for block in space.choices(i) if block.op is Op.KEEP} for i in range(3)]
    assert pruned == [{"", "{h50}", "{w50}", "{w50/ffn}", "{ffn50}"}, {"", "{w50/ffn}", "{ffn50}"}, {""}]
