"""Parameter bytes and KV bytes against sums worked out by hand."""

from dataclasses import replace

from hypothesis import given

from objectives.memory import kv_bytes_per_token, parameter_bytes
from spaces.kinds import BlockKind
from spaces.plan import Op, Plan, Scope
from tests.objectives.shapes import LLAVA_7B, TINY
from tests.spaces.drawn import plans

# One norm of width 8 each; q and o 8*6, k and v 8*3; gate, up and down 8*10.
ATTENTION, FFN = 2 * 48 + 2 * 24 + 8, 3 * 80 + 8


def test_whole_model_by_hand():
    # patches 3*2*2 -> 4, class token, 5 positions, two norms; per layer four linear layers 4 -> 4 and
    # 4 -> 6 -> 4 with biases, and two norms
    vision = 12 * 4 + 4 + 5 * 4 + 2 * 8 + 2 * (4 * (16 + 4) + (24 + 6) + (24 + 4) + 2 * 8)
    projector = 4 * 8 + 8 + 8 * 8 + 8
    decoder = 2 * 7 * 8 + 2 * (ATTENTION + FFN) + 8
    assert parameter_bytes(TINY, Plan.dense(2)) == 2 * (vision + projector + decoder)


def test_parameters_of_llava():
    """LLaVA-1.5-7B with its vocabulary padded to 32,064."""
    assert parameter_bytes(LLAVA_7B, Plan.dense(32)) == 2 * 7_063_427_072


def test_shared_embeddings_count_once():
    tied = replace(TINY, tie_embeddings=True)
    assert parameter_bytes(TINY, Plan.dense(2)) - parameter_bytes(tied, Plan.dense(2)) == 2 * 7 * 8


def test_skipped_halves_are_removed_with_their_norm():
    dense = parameter_bytes(TINY, Plan.dense(2))
    assert dense - parameter_bytes(TINY, Plan.parse("a.")) == 2 * ATTENTION
    assert dense - parameter_bytes(TINY, Plan.parse(".f")) == 2 * FFN
    assert dense - parameter_bytes(TINY, Plan.parse("b.")) == 2 * (ATTENTION + FFN)
    assert dense == parameter_bytes(TINY, Plan.parse("pp"))
    assert dense == parameter_bytes(TINY, Plan.parse("bvag"))
    assert dense == parameter_bytes(TINY, Plan.parse("()"))


def test_plain_ffn_has_two_linear_layers():
    plain = replace(TINY, gated_ffn=False)
    assert parameter_bytes(plain, Plan.dense(2)) - parameter_bytes(plain, Plan.parse("f.")) == 2 * (2 * 80 + 8)


def test_counted_parameters_take_precedence():
    kind = BlockKind(attention_parameters=300, ffn_parameters=500)
    counted = replace(TINY, num_parameters=10_000, kinds=(kind, kind), bytes_per_parameter=4)
    assert parameter_bytes(counted, Plan.dense(2)) == 40_000
    assert parameter_bytes(counted, Plan.parse("af")) == 4 * (10_000 - 300 - 500)


@given(plans(min_blocks=2, max_blocks=2))
def test_keys_and_values_of_blocks_that_a_generated_token_reads(plan):
    attending = sum(
        block.op in (Op.KEEP, Op.SKIP_FFN, Op.PARALLEL, Op.PAIR, Op.PAIRED)
        or block.scope in (Scope.VISUAL, Scope.PROMPT)
        for block in plan.blocks
    )
    assert kv_bytes_per_token(TINY, plan) == attending * 2 * 1 * 3 * 2


def test_kv_of_llava():
    assert kv_bytes_per_token(LLAVA_7B, Plan.dense(32)) == 524_288  # 32 blocks * 2 * 4096 * 2 bytes
