"""A Llama whose layers may lack attention or FFN, in the `nemotron-nas` form that vLLM, llama.cpp and mlx-lm read.

transformers loads this file with trust_remote_code=True; the engines read `config.json` and the weights with their own
code. `config.block_configs` marks the attention or the FFN of a layer as `no_op`.

transformers derives positions and masks from the length of one layer's KV cache. A layer without attention therefore
appends a placeholder of one number per token to its cache.
"""

import copy
from functools import cache
from typing import Any

from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

PARTS = {"attention": ("self_attn", "input_layernorm"), "ffn": ("mlp", "post_attention_layernorm")}
"""Sub-layer -> its modules in a Llama layer."""


class Fields(dict[str, Any]):
    """A dict whose keys are attributes as well, since engines read `block_config.attention.no_op`."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__({key: Fields(value) if isinstance(value, dict) else value for key, value in values.items()})

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


class DeciLMConfig(LlamaConfig):
    """The config of Llama with `block_configs`, one object per layer."""

    model_type = "nemotron-nas"

    def __init__(self, block_configs: Any = (), **values: Any) -> None:
        super().__init__(**values)
        self.block_configs = [Fields(block) for block in block_configs]


class _AttentionOnly(nn.Module):
    """y = x + SA(N1 x)"""

    input_layernorm: nn.Module
    self_attn: nn.Module

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        attention: Tensor = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)[0]
        return hidden_states + attention


class _FfnOnly(nn.Module):
    """y = x + FFN(N2 x)"""

    layer_idx: int
    mlp: nn.Module
    post_attention_layernorm: nn.Module

    def forward(self, hidden_states: Tensor, past_key_values: Any = None, **kwargs: Any) -> Tensor:
        if past_key_values is not None:
            batch, new, _ = hidden_states.shape
            placeholder = hidden_states.new_zeros(batch, 1, new, 1)
            past_key_values.update(placeholder, placeholder, self.layer_idx)
        ffn: Tensor = self.mlp(self.post_attention_layernorm(hidden_states))
        return hidden_states + ffn


@cache
def _without(layer_class: type[nn.Module], sublayer: str) -> type:
    rest = _FfnOnly if sublayer == "attention" else _AttentionOnly
    return type(f"{rest.__name__.lstrip('_')}{layer_class.__name__}", (rest, layer_class), {})


def remove(layer: nn.Module, sublayer: str) -> None:
    """Remove a sub-layer, `attention` or `ffn`, from a Llama layer, in place."""
    attention: Any = layer.self_attn
    layer.layer_idx = attention.layer_idx
    whole: type = type(layer)
    layer.__class__ = _without(whole, sublayer)
    for part in PARTS[sublayer]:
        delattr(layer, part)


def channels(ffn: Fields, hidden_size: int) -> int:
    """Return the number of FFN channels as engines compute it: rounded up to a multiple of 256.

    Args:
        ffn: the `ffn` entry of a block config.
        hidden_size: width of the model.
    """
    size = int(2 * ffn.ffn_mult * hidden_size / 3)
    return -(-size // 256) * 256


def resize(layer: nn.Module, config: DeciLMConfig, size: int) -> None:
    """Replace the FFN of a Llama layer, in place, by a new one with `size` channels, unless it has that many."""
    if size != config.intermediate_size:
        narrow = copy.copy(config)
        narrow.intermediate_size = size
        layer.mlp = type(layer.mlp)(narrow)


class DeciLMForCausalLM(LlamaForCausalLM):
    """Llama without the sub-layers that its config marks as `no_op`, and with FFN widths from `ffn_mult`."""

    config_class = DeciLMConfig

    def __init__(self, config: DeciLMConfig) -> None:
        super().__init__(config)
        for layer, block in zip(self.model.layers, config.block_configs, strict=True):
            for sublayer in PARTS:
                if block[sublayer].no_op:
                    remove(layer, sublayer)
            if not block.ffn.no_op:
                resize(layer, config, channels(block.ffn, config.hidden_size))
