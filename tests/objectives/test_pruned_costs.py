"""Costs of pruned plans against numbers by hand and against a count over explicit zeros."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.flops import costs, flops
from objectives.memory import kv_bytes_per_token, parameter_bytes
from objectives.workload import Workload
from spaces.plan import Op, Plan, PlanError
from spaces.shape import Weights
from tests.fast import draws
from tests.objectives.shapes import TINY
from tests.objectives.test_flops import IN_SCOPE, matmul, shapes, slow_block, workload, workloads
from tests.spaces.drawn import pruned_plans

PATTERN = {"2:4": (2, 4), "4:8": (4, 8), "1:3": (1, 3)}


def narrow(shape, pruning):
    """Shares of channels and head groups, halves rounded up, at least one."""
    if pruning is None:
        return shape
    channels = max(1, int(shape.ffn_size * pruning.ffn_width / 100 + 0.5))
    groups = max(1, int(shape.num_kv_heads * pruning.head_width / 100 + 0.5))
    shared = shape.num_heads // shape.num_kv_heads
    return replace(shape, ffn_size=channels, num_kv_heads=groups, num_heads=groups * shared)


def row(columns, pruning):
    """Return which weights of a row stay, as a list of 0 and 1; FLOPs don't depend on their positions."""
    if pruning.pattern is None:
        zeros = 0
        while (zeros + 1) * 100 <= columns * pruning.percent:
            zeros += 1
        return [0] * zeros + [1] * (columns - zeros)
    kept, group = PATTERN[str(pruning.pattern)]
    return [int(place % group < kept) for place in range(columns)]


def slow_zeros(shape, block, new):
    """FLOPs on zero weights when one block reads the new tokens, a string over v, t, g; matrix by matrix."""
    pruning, inside = block.pruning, IN_SCOPE[block.scope]
    attending = sum(not (token in inside and block.op in (Op.SKIP_ATTN, Op.SKIP_BLOCK)) for token in new)
    feeding = sum(not (token in inside and block.op in (Op.SKIP_FFN, Op.SKIP_BLOCK)) for token in new)
    generated_attend = not ("g" in inside and block.op in (Op.SKIP_ATTN, Op.SKIP_BLOCK))
    made = len(new) if generated_attend else attending
    queries, keys = shape.num_heads * shape.head_size, shape.num_kv_heads * shape.head_size
    attention = [(attending, queries, shape.hidden_size), (attending, shape.hidden_size, queries)]
    attention += [(made, keys, shape.hidden_size)] * 2
    ffn = [(feeding, shape.ffn_size, shape.hidden_size)] * (1 + shape.gated_ffn)
    ffn += [(feeding, shape.hidden_size, shape.ffn_size)]
    matrices = attention * (pruning.linears in ("all", "attn")) + ffn * (pruning.linears in ("all", "ffn"))
    return sum(2 * rows * outputs * row(columns, pruning).count(0) for rows, outputs, columns in matrices)


@given(shapes(), st.data(), workloads)
@settings(max_examples=draws(150))
def test_equals_the_slow_count_exactly(shape, data, load):
    plan = data.draw(pruned_plans(shape.num_blocks, shape.num_blocks))
    if any(block.pruning and block.pruning.method == "saved" for block in plan.blocks):
        return
    found = costs(shape, plan, load)
    prompt = "v" * load.visual_tokens + "t" * load.text_tokens
    dense, sparse = 0, 0
    for block in plan.blocks:
        own = narrow(shape, block.pruning)
        passes = [(prompt, 0), *(("g", len(prompt) + step) for step in range(load.generated_tokens - 1))]
        for new, old in passes:
            dense += load.batch * slow_block(own, block, new, old)
            if block.pruning and block.pruning.method:
                sparse += load.batch * slow_zeros(own, block, new)
    assert found.ledger.prefill + found.ledger.decode == dense
    assert found.flops - found.sparse_flops == sparse


def test_sparsity_by_hand():
    # q 6x8, k and v 3x8, o 8x6, gate and up 10x8, down 8x10: 50 % of every row is zero; 6 prompt rows, 2 steps
    zeros = 6 * 4 + 2 * 3 * 4 + 8 * 3 + 2 * 10 * 4 + 8 * 5
    dense = costs(TINY, Plan.dense(2), workload())
    found = costs(TINY, Plan.parse("{w50}.."), workload())
    assert (found.flops, found.parameter_bytes, found.kv_bytes_per_token, found.depth) == (
        dense.flops,
        dense.parameter_bytes,
        dense.kv_bytes_per_token,
        dense.depth,
    )
    assert dense.sparse_flops == dense.flops
    assert found.sparse_flops == dense.flops - 2 * 2 * (6 + 2) * zeros
    one = costs(TINY, Plan.parse(".{m50/ffn}."), workload()).sparse_flops
    assert one == dense.flops - 2 * (6 + 2) * (2 * 10 * 4 + 8 * 5)


def test_width_by_hand():
    # 5 of 10 channels are removed; the only head group can't be
    dense, found = (costs(TINY, Plan.parse(text), workload()) for text in ("..", ".{ffn50}."))
    assert dense.flops - found.flops == 3 * matmul(6 + 2, 8, 5)
    assert dense.parameter_bytes - found.parameter_bytes == 2 * 3 * 8 * 5
    assert flops(TINY, Plan.parse(".{h50}."), workload()) == dense.ledger
    two = replace(TINY, num_kv_heads=2)
    dense, found = (costs(two, Plan.parse(text), workload()) for text in ("..", ".{h50}."))
    # one of 2 heads: q, k, v, o lose 3 of 6; scores and mix with 1 head: 6 * 6 in the prefill, 7 + 8 in the steps
    assert dense.flops - found.flops == 4 * matmul(6 + 2, 8, 3) + 2 * 2 * 3 * (36 + 15)
    assert dense.parameter_bytes - found.parameter_bytes == 2 * 4 * 8 * 3
    assert dense.kv_bytes_per_token - found.kv_bytes_per_token == 2 * 2 * 3


def test_saved_masks_are_counted_from_their_file():
    counted = replace(TINY, saved_weights=(Weights(10, 5, 20), Weights(40, 30, 100)))
    load = Workload(visual_tokens=4, text_tokens=2, generated_tokens=1)
    dense, found = (costs(counted, Plan.parse(text), load) for text in ("..", ".{saved}.{saved/ffn}"))
    assert dense.flops == found.flops
    zeros = (96 - 10) + (48 - 5) + (240 - 20) + (240 - 100)
    assert found.flops - found.sparse_flops == 2 * 6 * zeros
    with pytest.raises(PlanError) as caught:
        costs(TINY, Plan.parse(".{saved}."), load)
    assert "a block with a saved mask must have a mask file with the model, got 'keep{saved}' at block 0" in str(
        caught.value
    )


@given(pruned_plans(2, 2))
def test_pruning_never_costs_more(plan):
    counted = replace(TINY, saved_weights=(Weights(10, 5, 20), Weights(40, 30, 100)))
    bare = Plan(tuple(block.pruned(None) for block in plan.blocks))
    found, unpruned = costs(counted, plan, workload()), costs(counted, bare, workload())
    assert found.sparse_flops <= found.flops <= unpruned.flops == unpruned.sparse_flops
    assert parameter_bytes(counted, plan) <= parameter_bytes(counted, bare)
    assert kv_bytes_per_token(counted, plan) <= kv_bytes_per_token(counted, bare)
