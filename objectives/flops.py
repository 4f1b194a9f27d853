"""Computes the FLOPs of a plan in closed form, by part of the model.

A multiply-add is two FLOPs. The numbers equal `torch.utils.flop_counter.FlopCounterMode` on the model as transformers
runs it with eager attention: matrix products and convolutions only. Scores are counted for every query-key pair,
masked or not; with a sliding window, these are all pairs of the prompt and, in generation, those of the cache.
Embeddings, norms, activations, rotary positions and softmax are not counted. Vision towers and projectors without a
closed form are counted on the model, and their FLOPs are part of the workload.

A sub-layer that an op skips for a scope is counted for the rows outside of it. Keys and values of the prompt are
counted for all rows if generated tokens attend to them later, otherwise for the rows that attend. A KV cache is
assumed. A block with fewer FFN channels or heads counts at its reduced width. Zeroed weights do not change these FLOPs;
`objectives.sparsity` counts them. Of a mixture of experts, the experts that are active per row are counted. Blocks
without a closed form have FLOPs per row and per score that were counted on the model.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import repeat

from objectives.latency import Latency
from objectives.memory import kv_bytes_per_token, memory_bytes, parameter_bytes
from objectives.rows import PROMPT, Rows, decode_rows, prefill_rows
from objectives.sparsity import zero_flops
from objectives.workload import Workload, WorkloadError
from spaces.kinds import PLAIN, BlockKind
from spaces.plan import Block, Group, Op, Plan, PlanError
from spaces.shape import ModelShape, VisionShape

_PASSES = (PROMPT, (Group.GENERATED,))
"""The token groups of the prefill and those of a decode step."""


@dataclass(frozen=True)
class Ledger:
    """FLOPs of one workload by part of the model. Integers if the workload has whole numbers of tokens."""

    vision: float
    """Vision tower."""
    projector: float
    prefill: float
    """Decoder blocks on the prompt, which gives the first generated token."""
    decode: float
    """Decoder blocks on the generated tokens except the last, one token per step with a KV cache."""
    head: float
    """LM head: one row per generated token, and all rows of the prompt if the model computes their logits."""

    @property
    def total(self) -> float:
        """Return the sum over all parts."""
        return self.vision + self.projector + self.prefill + self.decode + self.head

    def as_dict(self) -> dict[str, float]:
        """Return part -> FLOPs, with their `total`."""
        places = {name: getattr(self, name) for name in ("vision", "projector", "prefill", "decode", "head")}
        return {**places, "total": self.total}


def flops(shape: ModelShape, plan: Plan, workload: Workload) -> Ledger:
    """Return the FLOPs of running a plan on a model of this shape.

    If the workload is a mean over a data set, the formulas, which are quadratic in the numbers of tokens, are evaluated
    at the means.

    Args:
        shape: shape of the dense model.
        plan: the plan, with one block per decoder block of the model.
        workload: numbers of tokens, images and requests.

    Raises:
        PlanError: the plan and the model have different numbers of blocks.
        WorkloadError: the vision tower has no closed form, and the workload has no counted FLOPs of it.
    """
    if len(plan) != shape.num_blocks:
        raise PlanError(
            f"a plan must have as many blocks as the model, {shape.num_blocks}, got {len(plan)} in '{plan}': "
            "write one character per block"
        )
    batch, kinds = workload.batch, Counter(zip(plan.blocks, shape.block_kinds, strict=True))
    prefill: float = 0
    decode: float = 0
    for (block, kind), count in kinds.items():
        prefill += count * _block(shape, block, kind, prefill_rows(block, kind, workload))
        decode += count * _block(shape, block, kind, decode_rows(block, kind, workload))
    vision, projector = _image_parts(shape, workload)
    return Ledger(
        vision=batch * vision,
        projector=batch * projector,
        prefill=batch * prefill,
        decode=batch * decode,
        head=batch * (workload.generated_tokens + workload.extra_head_rows) * 2 * shape.hidden_size * shape.vocab_size,
    )


@lru_cache
def dense_flops(shape: ModelShape, workload: Workload) -> float:
    """Return the FLOPs of running the dense plan; cached per shape and workload."""
    return flops(shape, Plan.dense(shape.num_blocks), workload).total


@dataclass(frozen=True)
class Costs:
    """The costs of running a plan: in closed form, but for the latency, which is predicted from measured times."""

    ledger: Ledger
    flops: float
    """FLOPs of the whole workload: the total of the ledger."""
    flops_ratio: float
    """`flops` divided by those of the dense plan."""
    sparse_flops: float
    """`flops` without the multiply-adds of zeroed weights, which sparse kernels would skip."""
    depth: int
    """Number of decoder sub-layers that must run one after another."""
    parameter_bytes: int
    """Bytes of the remaining parameters."""
    kv_bytes_per_token: int
    """Bytes of cached keys and values per token and sequence."""
    memory_bytes: float
    """Bytes of parameters and KV cache at the end of the workload."""
    latency: Latency | None = None
    """Predicted latency; None if no times were measured."""

    def as_dict(self) -> dict[str, float]:
        """Return the costs as a flat dictionary for JSON, with parts as `flops_vision`, `latency_prefill` and so on."""
        places = {f"flops_{name}": value for name, value in self.ledger.as_dict().items() if name != "total"}
        names = ("flops", "flops_ratio", "sparse_flops", "depth", "parameter_bytes", "kv_bytes_per_token")
        times = {} if self.latency is None else self.latency.as_dict()
        return {name: getattr(self, name) for name in (*names, "memory_bytes")} | places | times


def costs(shape: ModelShape, plan: Plan, workload: Workload) -> Costs:
    """Return all costs of running a plan on a model of this shape.

    Args:
        shape, plan, workload: as in `flops`.

    Raises:
        PlanError: the plan and the model have different numbers of blocks.
        WorkloadError: the vision tower has no closed form, and the workload has no counted FLOPs of it.
    """
    ledger = flops(shape, plan, workload)
    parameters, cached = parameter_bytes(shape, plan), kv_bytes_per_token(shape, plan)
    return Costs(
        ledger=ledger,
        flops=ledger.total,
        flops_ratio=ledger.total / dense_flops(shape, workload),
        sparse_flops=ledger.total - zero_flops(shape, plan, workload),
        depth=depth(plan),
        parameter_bytes=parameters,
        kv_bytes_per_token=cached,
        memory_bytes=memory_bytes(parameters, cached, workload),
    )


def with_zero_ffns(spent: Costs, layers: int, channels: int, shape: ModelShape, workload: Workload) -> Costs:
    """Return costs with those of FFNs that only add zeros, as some exports need them in layers without one.

    Args:
        spent: costs of the plan.
        layers: number of layers that get such an FFN, and a norm before it.
        channels: FFN channels per layer.
        shape: the shape of the dense model.
        workload: tokens of the question that `spent` counted.
    """
    if not layers:
        return spent
    narrow = replace(shape, ffn_size=channels)
    prefill, decode = (
        workload.batch * layers * _ffn(narrow, rows(Block(), PLAIN, workload).ffn)
        for rows in (prefill_rows, decode_rows)
    )
    ledger = replace(spent.ledger, prefill=spent.ledger.prefill + prefill, decode=spent.ledger.decode + decode)
    weights = (3 if shape.gated_ffn else 2) * shape.hidden_size * channels + shape.hidden_size
    added = layers * weights * shape.bytes_per_parameter
    return replace(
        spent,
        ledger=ledger,
        flops=ledger.total,
        flops_ratio=ledger.total / dense_flops(shape, workload),
        depth=spent.depth + layers,
        parameter_bytes=spent.parameter_bytes + added,
        memory_bytes=spent.memory_bytes + added,
    )


def depth(plan: Plan) -> int:
    """Return the number of sub-layers that must run one after another, in the prefill or a decode step if it has more.

    Attention and FFN of a parallel block count as one, the two blocks of a pair as one block. A prompt is assumed to
    have both visual and other tokens, so that a sub-layer counts for a pass if any token of the pass runs it.
    """
    before = (None, *plan.blocks)
    return max(sum(map(_sublayers, plan.blocks, before, repeat(groups))) for groups in _PASSES)


def _sublayers(block: Block, before: Block | None, groups: tuple[Group, ...]) -> int:
    """Return the number of sub-layers that a block adds to the depth of a pass over these token groups."""
    if block.op is Op.PAIRED and before is not None and before.scope.groups.issuperset(groups):
        return 0  # runs in parallel with the first block of the pair
    attention = any(block.runs_attention(group) for group in groups)
    ffn = any(block.runs_ffn(group) for group in groups)
    if block.op is Op.PARALLEL and block.scope.groups.issuperset(groups):
        return 1
    return attention + ffn


def _block(shape: ModelShape, block: Block, kind: BlockKind, rows: Rows) -> float:
    """Return the FLOPs of one block in one kind of pass."""
    if (counted := kind.counted) is not None:
        attention = counted.query * rows.attending + counted.key * rows.keys + counted.pair * rows.pairs
        return attention + counted.ffn * rows.ffn
    narrow = shape.narrowed(block.pruning)
    ffn = _ffn(narrow, rows.ffn) if kind.active_ffn_weights is None else 2 * rows.ffn * kind.active_ffn_weights
    return _attention(narrow, rows.attending, rows.keys, rows.pairs) + ffn


def _attention(shape: ModelShape, rows: float, keys: float, pairs: float) -> float:
    """Return the FLOPs of one attention: queries of `rows` tokens, keys and values of `keys` tokens, `pairs` scores."""
    query_and_output = 4 * rows * shape.hidden_size * shape.num_heads * shape.head_size
    key_and_value = 4 * keys * shape.hidden_size * shape.num_kv_heads * shape.head_size
    scores_and_mix = 4 * shape.num_heads * shape.head_size * pairs
    return query_and_output + key_and_value + scores_and_mix


def _ffn(shape: ModelShape, rows: float) -> float:
    return (6 if shape.gated_ffn else 4) * rows * shape.hidden_size * shape.ffn_size


def _image_parts(shape: ModelShape, workload: Workload) -> tuple[float, float]:
    """Return the FLOPs of vision tower and projector per request: the counted ones, or else the closed form."""
    vision, projector = workload.vision_flops, workload.projector_flops
    if shape.vision is None and (vision is None or projector is None):
        raise WorkloadError(
            "a workload must have vision_flops and projector_flops, as counted, for a model whose vision tower has no "
            "closed form, got none: take that of workers.describe.describe_workload"
        )
    if vision is None and shape.vision is not None:
        vision = workload.images * _vision(shape.vision)
    if projector is None:
        projector = workload.visual_tokens * sum(2 * inputs * outputs for inputs, outputs in shape.projector)
    assert vision is not None
    return vision, projector


def _vision(vision: VisionShape) -> int:
    """Return the FLOPs of the vision tower per image: patch convolution, attention and FFN over all positions."""
    rows, width = vision.num_positions, vision.hidden_size
    patches = 2 * vision.num_patches * width * vision.num_channels * vision.patch_size**2
    layer = 8 * rows * width * width + 4 * width * rows * rows + 4 * rows * width * vision.ffn_size
    return patches + vision.num_layers_run * layer
