"""Hand-made patterns: golden texts, the paper's rule, and refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.block import SINGLE_OPS
from spaces.patterns import baselines, pattern, pattern_names
from spaces.plan import Op, Plan, Scope
from spaces.spaces import SPACES, load_space

CHANGES = [op for op in SINGLE_OPS if op is not Op.KEEP]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dense", "............"),
        ("interval-2", "..b.b.b.b.b."),
        ("interval-3", "...b..b..b.."),
        ("interval-3:skip_attn", "...a..a..a.."),
        ("interval-2:skip_ffn@4", "......f.f.f."),
        ("interval-1:parallel@-1", "ppppppppppp."),
        ("interval-1@5", "......bbbbb."),
        ("interval-12", "............"),
        ("interval-12@-1", "b..........."),
        ("first-6", "......bbbbbb"),
        ("first-12", "............"),
        ("first-0:parallel", "pppppppppppp"),
        ("interval-3:skip_attn:visual@1", "...av..av..av.."),
        ("first-10:parallel:generated", "..........pgpg"),
        ("vskip", "......avavavavavav"),
        ("vskip-2", "..........avav"),
        ("vskip-0", "............"),
        ("oplevel", "......fvfvavavbvbv"),
        ("oplevel-3", ".........fvavbv"),
        ("shortv", "bvbv.....bvbvbvbvbv"),
        ("shortv-1", "...........bv"),
        ("shortv-3", "bv.........bvbv"),
        ("{ffn50}", "{ffn50}............"),
    ],
)
def test_golden(name, text):
    assert str(pattern(name, 12)) == text


def test_shortv_at_its_own_depth_is_the_published_list():
    published = {31, 29, 30, 28, 0, 26, 27, 25, 24, 22, 23, 21, 2, 3, 20, 18, 17, 12, 19}
    plan = pattern("shortv", 32)
    assert {i for i, block in enumerate(plan.blocks) if block.name == "skip_block:visual"} == published
    assert plan.num_changed == 19
    first_five = {i for i, op in enumerate(pattern("shortv-5", 32).ops) if op is not Op.KEEP}
    assert first_five == {31, 29, 30, 28, 0}


@given(st.integers(1, 100), st.sampled_from(["shortv", "vskip", "oplevel"]))
def test_patterns_for_image_tokens_scale(num_blocks, kind):
    plan = pattern(kind, num_blocks)
    assert all(block.op is Op.KEEP or block.scope is Scope.VISUAL for block in plan.blocks)
    share = 19 / 32 if kind == "shortv" else 1 / 2
    assert abs(plan.num_changed - share * num_blocks) <= 1
    assert num_blocks == 1 or plan.ops[-1] is not Op.KEEP


def test_half_the_blocks_of_the_paper_is_15_of_32():
    assert pattern("interval-2", 32).num_changed == 15


@given(st.integers(1, 40), st.sampled_from(CHANGES), st.integers(1, 40), st.integers(-1, 39))
def test_interval_follows_the_rule_of_the_paper(num_blocks, op, interval, start):
    interval, start = min(interval, num_blocks), min(start, num_blocks - 1)
    plan = pattern(f"interval-{interval}:{op}@{start}", num_blocks)
    end = num_blocks - 1
    for i, got in enumerate(plan.ops):
        assert got == (op if start < i < end and i % interval == 0 else Op.KEEP)


@pytest.mark.parametrize("num_blocks", [1, 2, 3, 4, 12, 24, 32])
@pytest.mark.parametrize("name", SPACES)
def test_baselines_lie_in_the_space_without_duplicates(name, num_blocks):
    space = load_space(name, num_blocks)
    found = baselines(space)
    assert next(iter(found)) == "dense"
    assert all(plan in space for plan in found.values())
    assert len({plan.digest for plan in found.values()}) == len(found)
    assert all(pattern(key, num_blocks) == plan for key, plan in found.items())


def test_baselines_hold_what_the_papers_propose():
    texts = {str(plan) for plan in baselines(load_space("layers", 12)).values()}
    wanted = {"..b.b.b.b.b.", "..a.a.a.a.a.", "..f.f.f.f.f.", "..p.p.p.p.p.", "......bbbbbb", "...b..b..b.."}
    assert wanted <= texts
    scoped = baselines(load_space("scoped", 12))
    assert {"shortv", "vskip", "oplevel", "interval-2", "first-6"} <= set(scoped)
    assert {"{ffn50}", "{w50}", "{w2:4}", "vskip", "interval-2"} <= set(baselines(load_space("full", 12)))
    in_blocks = baselines(load_space("blocks", 12))
    assert "interval-2" in in_blocks and "first-6" in in_blocks
    assert all(set(plan.ops) <= {Op.KEEP, Op.SKIP_BLOCK} for plan in in_blocks.values())


@pytest.mark.parametrize("num_blocks", [4, 12, 32])
def test_names_of_all_patterns_can_be_read(num_blocks):
    names = pattern_names(num_blocks)
    assert len(names) == len(set(names))
    assert all(isinstance(pattern(name, num_blocks), Plan) for name in names)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "densee",
            "unknown pattern 'densee' (did you mean 'dense'?): known are dense, interval-K[:OP[:SCOPE]][@START], ",
        ),
        ("interval", "unknown pattern 'interval'"),
        ("interval-two", "unknown pattern 'interval-two'"),
        ("interval-2@", "unknown pattern 'interval-2@'"),
        ("first-3@2", "unknown pattern 'first-3@2'"),
        ("", "unknown pattern ''"),
        ("interval-0", "K in pattern 'interval-0' must be 1 to 12 for this model, got 0: change it"),
        ("interval-13", "K in pattern 'interval-13' must be 1 to 12 for this model, got 13: change it"),
        (
            "interval-2@12",
            "START in pattern 'interval-2@12' must be -1 to 11 for this model, got 12: change it",
        ),
        (
            "interval-2@-2",
            "START in pattern 'interval-2@-2' must be -1 to 11 for this model, got -2: change it",
        ),
        ("first-13", "K in pattern 'first-13' must be 0 to 12 for this model, got 13: change it"),
        ("{ffn5O}", "unknown pruning 'ffn5O' in {ffn5O}"),
        ("interval-2:skip", "unknown op 'skip' in pattern 'interval-2:skip'"),
        ("interval-2:skip_ffn:text", "unknown scope 'text' in pattern 'interval-2:skip_ffn:text'"),
        ("interval-2:pair", "a pattern must have the op of a single block, got pair in 'interval-2:pair'"),
        ("shortv-13", "K in pattern 'shortv-13' must be 0 to 9 for this model, got 13: change it"),
        ("vskip-13", "K in pattern 'vskip-13' must be 0 to 12 for this model, got 13: change it"),
    ],
)
def test_wrong_names_are_refused(name, message):
    with pytest.raises(ValueError) as caught:
        pattern(name, 12)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
