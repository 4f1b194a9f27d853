"""A Llama whose layers may lack attention or FFN, in the `nemotron-nas` form that vLLM, llama.cpp and mlx-lm know.

Self-contained with `modeling_skipsearch.py` beside it: those engines read `config.json` and the weights with code of
their own; transformers loads this file with trust_remote_code=True. `config.block_configs` says of every layer whether
its attention or its FFN is a `no_op`.
"""

from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM

from .modeling_skipsearch import change


class Fields(dict):
    """A JSON object whose keys are attributes too: engines read `block_config.attention.no_op`."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__({key: Fields(value) if isinstance(value, dict) else value for key, value in values.items()})

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


class DeciLMConfig(LlamaConfig):
    """Llama's, with `block_configs`: one object a layer."""

    model_type = "nemotron-nas"

    def __init__(self, block_configs: Any = (), **values: Any) -> None:
        super().__init__(**values)
        self.block_configs = [Fields(block) for block in block_configs]


class DeciLMForCausalLM(LlamaForCausalLM):
    """Llama with the halves that its config lists."""

    config_class = DeciLMConfig

    def __init__(self, config: DeciLMConfig) -> None:
        super().__init__(config)
        for layer, block in zip(self.model.layers, config.block_configs, strict=True):
            change(layer, ("" if block.attention.no_op else "S") + ("" if block.ffn.no_op else "F"))
