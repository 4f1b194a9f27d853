"""Computes the memory of a plan in closed form: remaining parameters and KV cache."""

from objectives.sparsity import whole_weights
from objectives.workload import Workload
from spaces.kinds import BlockKind
from spaces.plan import Block, Plan
from spaces.shape import ModelShape, VisionShape


def parameter_bytes(shape: ModelShape, plan: Plan) -> int:
    """Return the bytes of the parameters that remain.

    Attentions and FFNs that no token runs are removed with their norms, removed channels and heads with their weights.
    Zeroed weights stay.
    """
    removed = 0
    for block, kind in zip(plan.blocks, shape.block_kinds, strict=True):
        removed += _attention(shape, kind) * (not block.has_attention) + _ffn(shape, kind) * (not block.has_ffn)
    cut = sum(_cut(shape, block) for block in plan.blocks if block.pruning is not None)
    return (_all(shape) - removed - cut) * shape.bytes_per_parameter


def kv_bytes_per_token(shape: ModelShape, plan: Plan) -> int:
    """Return the bytes of cached keys and values per token and sequence.

    Blocks in which generated tokens do not attend cache nothing. Cross-attention caches image features, not tokens, and
    is not counted. Sliding windows are ignored: their caches stop growing at the size of the window.
    """
    pairs = zip(plan.blocks, shape.block_kinds, strict=True)
    values = sum(_cached(shape, block, kind) for block, kind in pairs if block.caches and not kind.is_cross)
    return values * shape.bytes_per_parameter


def memory_bytes(parameters: int, cached: int, workload: Workload) -> float:
    """Return the bytes of weights and full KV cache while a batch of the workload runs; activations are not counted.

    Args:
        parameters: bytes of the parameters.
        cached: bytes of cached keys and values per token and sequence.
        workload: tokens per request, and the number of requests.
    """
    return parameters + cached * workload.batch * (workload.prompt_tokens + workload.decode_steps)


def _cached(shape: ModelShape, block: Block, kind: BlockKind) -> int:
    """Return the number of keys and values that a block caches per token."""
    if kind.counted is not None:
        return kind.counted.cached
    return 2 * shape.narrowed(block.pruning).num_kv_heads * shape.head_size


def _cut(shape: ModelShape, block: Block) -> int:
    """Return the number of weights that a narrower block lacks."""
    return sum(whole_weights(shape)) - sum(whole_weights(shape.narrowed(block.pruning)))


def _attention(shape: ModelShape, kind: BlockKind) -> int:
    if kind.attention_parameters is not None:
        return kind.attention_parameters
    projections = 2 * (shape.num_heads + shape.num_kv_heads) * shape.head_size
    return shape.hidden_size * projections + shape.hidden_size


def _ffn(shape: ModelShape, kind: BlockKind) -> int:
    if kind.ffn_parameters is not None:
        return kind.ffn_parameters
    return (3 if shape.gated_ffn else 2) * shape.hidden_size * shape.ffn_size + shape.hidden_size


def _all(shape: ModelShape) -> int:
    """Return the parameters of the dense model, as counted or by the closed form.

    The closed form is that of LLaVA with a CLIP tower and a Llama decoder.
    """
    if shape.num_parameters is not None:
        return shape.num_parameters
    assert shape.vision is not None, "a shape without a closed form of its tower has its parameters counted"
    embeddings = (1 if shape.tie_embeddings else 2) * shape.vocab_size * shape.hidden_size
    projector = sum(inputs * outputs + outputs for inputs, outputs in shape.projector)
    blocks = sum(_attention(shape, kind) + _ffn(shape, kind) for kind in shape.block_kinds)
    return _vision(shape.vision) + projector + embeddings + blocks + shape.hidden_size


def _vision(vision: VisionShape) -> int:
    width, ffn_size = vision.hidden_size, vision.ffn_size
    patches = width * vision.num_channels * vision.patch_size**2
    positions = width * (vision.num_positions + vision.has_class_token)
    layer = 4 * (width * width + width) + (2 * width * ffn_size + ffn_size + width) + 4 * width
    norms_around_the_layers = 4 * width
    return patches + positions + vision.num_layers * layer + norms_around_the_layers
