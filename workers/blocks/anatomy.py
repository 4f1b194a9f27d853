"""Finds the decoder blocks of a model and their sub-layers by running them; rejects blocks that are not pre-norm.

The decoder blocks are the items of the only `ModuleList` in which each item has an attention module with a KV-cache
index (`layer_idx`); vision towers and Q-Formers have no cache. One pass over three random rows shows which child
module reads the output of which other. Each block is then run twice more. With attention and FFN replaced by zeros it
must be the identity. With only attention replaced by zeros the input of the FFN changes, unless the model runs
attention and FFN in parallel. Blocks with cross-attention to image features are marked as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache, DynamicLayer, LinearAttentionCacheLayerMixin

from spaces.kinds import BlockKind
from spaces.plan import PlanError
from workers.blocks.probe import Call, calls_of, flow_of
from workers.blocks.zero_output import silent, silent_all

CACHE_ARGUMENT = "past_key_values"
"""Keyword under which a model and its decoder receive the KV cache in transformers 5."""
CROSS_ARGUMENT = "cross_attention_states"
"""Keyword under which the decoder, its blocks and their cross-attention receive image features (Mllama)."""
_IMAGE_TOKENS = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
_FOUND: WeakKeyDictionary[nn.Module, Anatomy] = WeakKeyDictionary()


@dataclass(frozen=True)
class Parts:
    """One decoder block and the modules it consists of."""

    block: nn.Module
    attention: nn.Module
    attention_norm: nn.Module
    ffn: tuple[nn.Module, ...]
    """The FFN module, or its linear layers if the block itself runs them one after another (OPT)."""
    ffn_norm: nn.Module
    is_parallel: bool = False
    """True if attention and FFN of the unmodified block read the same input."""
    is_cross: bool = False
    """True if the attention is cross-attention to image features."""
    ffn_extras: int = 0
    """Number of values that the FFN returns besides its hidden states, such as router logits."""

    @property
    def shares_norm(self) -> bool:
        """Return True if attention and FFN read the output of the same norm."""
        return self.attention_norm is self.ffn_norm

    @property
    def kind(self) -> BlockKind:
        """Return the properties of the block that determine which ops apply to it."""
        return BlockKind(is_parallel=self.is_parallel, is_cross=self.is_cross)


@dataclass(frozen=True)
class Anatomy:
    """The decoder of a model and the parts of its blocks."""

    decoder: nn.Module
    """The module that runs the blocks."""
    blocks: nn.ModuleList
    parts: tuple[Parts, ...]
    """Parts of each block."""
    image_tokens: frozenset[int]
    """Token ids of image and video placeholders."""


def anatomy_of(model: nn.Module) -> Anatomy:
    """Return the anatomy of a model that no plan is applied to; it is determined once per model and cached.

    Args:
        model: a model of transformers with weights.

    Raises:
        PlanError: the model has no decoder blocks, or a block is not supported.
    """
    if model not in _FOUND:
        path, blocks = find_blocks(model)
        decoder = decoder_of(model)
        calls = calls_of(decoder, list(blocks), _random_inputs(decoder, blocks, text_config(model).hidden_size))
        set_anatomy(model, [_parts(f"{path}.{index}", block, calls[index]) for index, block in enumerate(blocks)])
    return _FOUND[model]


def set_anatomy(model: nn.Module, parts: Sequence[Parts]) -> None:
    """Store the parts of the blocks of a model, so that `anatomy_of` returns them without running the model.

    Args:
        model: the model, whose blocks `find_blocks` finds.
        parts: one per decoder block, in the order of the blocks.
    """
    _FOUND[model] = Anatomy(decoder_of(model), find_blocks(model)[1], tuple(parts), image_tokens_of(model.config))


def decoder_of(model: nn.Module) -> nn.Module:
    """Return the module that runs the decoder blocks; the model may be without weights."""
    return model.get_submodule(find_blocks(model)[0].rpartition(".")[0])


def text_config(model: nn.Module) -> Any:
    """Return the config of the text decoder of a model of transformers."""
    config: Any = model.config
    return config.get_text_config()


def embeddings_of(model: nn.Module) -> list[nn.Module]:
    """Return the LM head and the token embeddings of a model of transformers, as far as it has them."""
    whole: Any = model
    return [part for part in (whole.get_output_embeddings(), whole.get_input_embeddings()) if part is not None]


def image_tokens_of(config: Any) -> frozenset[int]:
    """Return the token ids of image and video placeholders named in a model config."""
    found = (getattr(config, name, None) for name in _IMAGE_TOKENS)
    return frozenset(token for token in found if token is not None)


def find_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the path and the list of the decoder blocks; the model may be without weights.

    Raises:
        PlanError: there is no such list or more than one, or the decoder is a hybrid one.
    """
    text = text_config(model)
    _refuse_hybrid(text)
    depth = text.num_hidden_layers
    found = [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == depth
        and all(_attentions(block, index) for index, block in enumerate(module))
    ]
    if len(found) != 1:
        got = ", ".join(path for path, _ in found) or "none"
        raise PlanError(
            f"a model must have one list of {depth} decoder blocks with an attention each, got {got}: "
            "take a model with a decoder of such blocks"
        )
    return found[0]


def _refuse_hybrid(text: Any) -> None:
    """Raise PlanError if a layer of the decoder's KV cache has no keys and values, or shares those of another layer."""
    try:
        layers = DynamicCache(config=text).layers
    except KeyError as kind:
        reason = f"layers of the kind {kind}"
    else:
        other = {type(layer).__name__ for layer in layers if not _keeps_keys(layer)}
        shared = getattr(text, "num_kv_shared_layers", None) or 0
        reason = f"layers that cache as {min(other)}" if other else f"{shared} blocks that share keys and values"
        if not other and not shared:
            return
    raise PlanError(
        f"every decoder block must have self-attention with keys and values of its own, got a hybrid decoder, "
        f"{text.model_type}, with {reason}: take a model whose blocks all have attention"
    )


def _keeps_keys(layer: Any) -> bool:
    return isinstance(layer, DynamicLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin)


def _attentions(block: nn.Module, index: int) -> list[nn.Module]:
    return [child for child in block.children() if getattr(child, "layer_idx", None) == index]


def _random_inputs(decoder: nn.Module, blocks: nn.ModuleList, width: int) -> dict[str, Any]:
    """Return three random rows as inputs of a decoder, and three rows of image features if it takes them."""
    weight = next(blocks.parameters())
    rows = torch.randn(1, 3, width, generator=torch.Generator().manual_seed(0)).to(weight.device, weight.dtype)
    mask = torch.ones(1, 3, dtype=torch.long, device=weight.device)
    features = {CROSS_ARGUMENT: rows.flip(1)} if _takes_features(decoder) else {}
    return {"inputs_embeds": rows, "attention_mask": mask, "use_cache": False, **features}


def _takes_features(module: nn.Module) -> bool:
    return CROSS_ARGUMENT in signature(module.forward).parameters


def cache_argument(module: nn.Module) -> str:
    """Return the keyword under which a block or an attention receives the KV cache: the parameter of type `Cache`."""
    typed = signature(module.forward).parameters.values()
    return next((each.name for each in typed if "Cache" in str(each.annotation)), CACHE_ARGUMENT)


def attention_of(block: nn.Module) -> nn.Module:
    """Return the child of a decoder block that has a KV-cache index, its attention."""
    return next(child for child in block.children() if hasattr(child, "layer_idx"))


def is_cross(block: nn.Module) -> bool:
    """Return True if the attention of a block is cross-attention to image features."""
    return _takes_features(attention_of(block))


@torch.no_grad()
def _parts(path: str, block: nn.Module, call: Call) -> Parts:
    attention = attention_of(block)
    flow = flow_of(block, call)
    if not isinstance(flow.output, Tensor):
        raise _refusal(path, f"it returns a {type(flow.output).__name__} and not its hidden states alone")
    executed = [child for child in block.children() if child in flow.inputs and child is not attention]
    ffn = tuple(child for child in executed if any(weight.ndim > 1 for weight in child.parameters()))
    if attention not in flow.inputs or not ffn:
        raise _refusal(path, "it has no " + ("FFN" if attention in flow.inputs else "self-attention"))
    norms = [flow.source(flow.inputs[module]) for module in (attention, ffn[0])]
    if norms[0] is None or norms[1] is None:
        raise _refusal(path, "attention or FFN doesn't read the output of a norm")
    extras = len(flow.outputs[ffn[-1]]) - 1 if isinstance(flow.outputs[ffn[-1]], tuple) else 0
    with silent(attention, 1), silent_all(ffn, extras):
        if not torch.equal(call.run(block), call.hidden):
            raise _refusal(path, "without attention and FFN it is not the identity, so it is no plain residual block")
    if flow.inputs[norms[0]].data_ptr() != call.hidden.data_ptr():
        raise _refusal(path, "its attention doesn't read the block's input")
    if _takes_features(attention):  # its gate may be 0, which would hide its effect
        return Parts(block, attention, norms[0], ffn, norms[1], is_cross=True, ffn_extras=extras)
    with silent(attention, 1):
        other = flow_of(block, call)
    is_parallel = torch.equal(flow.inputs[ffn[0]], other.inputs[ffn[0]])
    return Parts(block, attention, norms[0], ffn, norms[1], is_parallel, ffn_extras=extras)


def _refusal(path: str, reason: str) -> PlanError:
    return PlanError(f"every decoder block must be a pre-norm residual one, got {path}: {reason}; take another model")
