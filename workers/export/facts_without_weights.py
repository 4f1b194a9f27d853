"""Properties of a model that decide its export, from its config; a LLaVA's without torch."""

from __future__ import annotations

from types import SimpleNamespace

from workers.export.layer_facts import Facts, config_facts, with_places
from workers.models.llava_config import LlavaConfig, is_llava
from workers.models.model_files import read_config
from workers.sources import ModelSource


def read_facts(source: ModelSource) -> Facts:
    """Return the properties of a model that `stock_layers.facts_of` finds once its weights are loaded.

    Raises:
        ValueError: the model can't be built from its config.
    """
    config = read_config(source)
    if is_llava(config):
        text = dict(LlavaConfig.of(config).text)
        text.setdefault("num_key_value_heads", text["num_attention_heads"])
        text.setdefault("head_dim", text["hidden_size"] // text["num_attention_heads"])
        return Facts(SimpleNamespace(**text))
    from workers.blocks.anatomy import find_blocks
    from workers.models.block_inputs import sublayer_places
    from workers.models.load_model import load_or_value_error
    from workers.models.meta_model import weightless_model

    model = load_or_value_error(source, lambda: weightless_model(source))
    weights = [list(block.state_dict()) for block in find_blocks(model)[1]]
    return with_places(config_facts(model.config), sublayer_places(model), weights)
