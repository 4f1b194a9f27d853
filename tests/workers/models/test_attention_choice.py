"""The attention implementation of models of which a part has no sdpa attention, and its line in a dry run."""

import logging

import pytest
from transformers import CLIPVisionModel, LlamaModel, LlavaForConditionalGeneration

from tests.workers.hub import save_hub
from workers.describe import load_notes
from workers.models.load_model import load_model
from workers.sources import ModelSource


@pytest.mark.parametrize(
    ("part", "text"), [(LlamaModel, "eager"), (LlavaForConditionalGeneration, "sdpa"), (CLIPVisionModel, "sdpa")]
)
def test_parts_without_sdpa_get_eager_attention_and_the_text_part_keeps_it(part, text, tmp_path, monkeypatch, caplog):
    source = ModelSource(name=save_hub(tmp_path, "llava"), device="cpu")
    monkeypatch.setattr(part, "_supports_sdpa", False)
    with caplog.at_level(logging.WARNING):
        loaded = load_model(source)
    assert loaded.model.config.get_text_config()._attn_implementation == text
    assert loaded.model.config.vision_config._attn_implementation == "eager"
    assert loaded.decoder.layers[0].self_attn.config._attn_implementation == text
    assert "eager attention" in caplog.text


def test_a_dry_run_is_given_the_attention_and_what_export_refuses(tmp_path, monkeypatch):
    source = ModelSource(name=save_hub(tmp_path, "qwen2_vl"), device="cpu")
    assert load_notes(source) == [
        "export is refused until torchvision is installed, which the video part of the processor needs"
    ]
    tower = pytest.importorskip("transformers").Qwen2VLPreTrainedModel
    monkeypatch.setattr(tower, "_supports_sdpa", False)
    assert any("eager attention" in note for note in load_notes(source))
    assert load_notes(ModelSource(name=save_hub(tmp_path / "other", "llava"))) == []
