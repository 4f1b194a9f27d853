"""Computes the FLOPs of zeroed weights in closed form, which sparse kernels would not run.

Attention scores and the mixing of values involve no weights, so they are not affected. Weights that are zero in the
dense model do not count as zeroed.
"""

from collections.abc import Callable

from objectives.rows import decode_rows, prefill_rows
from objectives.workload import Workload
from spaces.plan import Block, Plan, PlanError
from spaces.pruning import Linears, Method
from spaces.shape import ModelShape, Weights


def zero_flops(shape: ModelShape, plan: Plan, workload: Workload) -> float:
    """Return the FLOPs of a workload that are spent on zeroed weights, two per multiply-add.

    Args:
        shape: shape of the dense model.
        plan: the plan, with one block per decoder block of the model.
        workload: numbers of tokens and requests.

    Raises:
        PlanError: a block has a saved mask and the model has no mask file.
    """
    total = 0.0
    for index, block in enumerate(plan.blocks):
        if block.pruning is None or block.pruning.method is None:
            continue
        zeros = _zeros(shape, block, index)
        kind = shape.block_kinds[index]
        for rows in (prefill_rows(block, kind, workload), decode_rows(block, kind, workload)):
            total += 2 * rows.attending * zeros.query_and_output + 2 * rows.keys * zeros.key_and_value
            total += 2 * rows.ffn * zeros.ffn
    return workload.batch * total


def kept_weights(shape: ModelShape, block: Block, index: int) -> Weights:
    """Return the numbers of weights of a block's linear layers that are neither zeroed nor removed.

    Args:
        shape: shape of the dense model.
        block: the block of the plan.
        index: index of the block, from 0.

    Raises:
        PlanError: the block has a saved mask and the model has no mask file.
    """
    pruning, all_of_it = block.pruning, whole_weights(shape.narrowed(block.pruning))
    if pruning is None or pruning.method is None:
        return all_of_it
    if pruning.method is Method.SAVED:
        if shape.saved_weights is None:
            raise PlanError(
                f"a block with a saved mask must have a mask file with the model, got '{block.name}' at block {index} "
                "and no file: give --masks, or make one with python -m workers.pruning"
            )
        left = shape.saved_weights[index]
    else:
        left = _left(shape.narrowed(pruning), pruning.kept_weights)
    attention = left if pruning.sparsifies(Linears.ATTENTION) else all_of_it
    ffn = left if pruning.sparsifies(Linears.FFN) else all_of_it
    return Weights(attention.query_and_output, attention.key_and_value, ffn.ffn)


def whole_weights(shape: ModelShape) -> Weights:
    """Return the numbers of all weights of one block's linear layers."""
    return _left(shape, lambda columns: columns)


def _zeros(shape: ModelShape, block: Block, index: int) -> Weights:
    pairs = zip(whole_weights(shape.narrowed(block.pruning)), kept_weights(shape, block, index), strict=True)
    return Weights(*(whole - kept for whole, kept in pairs))


def _left(shape: ModelShape, kept_of: Callable[[int], int]) -> Weights:
    """Return the numbers of weights of the matrices of a block, if `kept_of` gives the kept ones of a row."""
    queries, keys = shape.num_heads * shape.head_size, shape.num_kv_heads * shape.head_size
    hidden = kept_of(shape.hidden_size)
    return Weights(
        query_and_output=queries * hidden + shape.hidden_size * kept_of(queries),
        key_and_value=2 * keys * hidden,
        ffn=(1 + shape.gated_ffn) * shape.ffn_size * hidden + shape.hidden_size * kept_of(shape.ffn_size),
    )
