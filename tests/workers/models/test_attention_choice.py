"""The attention a model is loaded with where it has no sdpa attention."""

import logging

import pytest
from transformers import LlamaModel, LlavaForConditionalGeneration

from tests.workers.hub import save_hub
from workers.models.load_model import load_model
from workers.sources import ModelSource


@pytest.mark.parametrize("part", [LlamaModel, LlavaForConditionalGeneration])
def test_a_model_without_sdpa_is_loaded_with_eager_attention(part, tmp_path, monkeypatch, caplog):
    source = ModelSource(name=save_hub(tmp_path, "llava"), device="cpu")
    monkeypatch.setattr(part, "_supports_sdpa", False)
    with caplog.at_level(logging.WARNING):
        loaded = load_model(source)
    assert loaded.model.config.get_text_config()._attn_implementation == "eager"
    assert "eager attention" in caplog.text
