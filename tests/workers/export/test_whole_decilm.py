"""A whole LLaVA with unequal layers: its text config is `DeciLMForCausalLM` with `block_configs`, its tower is stock.

vLLM builds the text part of a LLaVA from `text_config.architectures`, as read from its source; it is not run here.
What is run: transformers' own LLaVA class, with the text classes registered, and mlx-vlm, which refuses the folder.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, LlamaModel, LlavaForConditionalGeneration
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from spaces.plan import Plan
from tests.workers.export.engine_models import OneProcess
from tests.workers.export.test_engines import needs
from tests.workers.hub import hub_samples
from tests.workers.hub_names import save_as_on_hub
from workers.apply_plan import apply_plan
from workers.export.engines.engines import EngineFailed
from workers.export.fresh_process import encode
from workers.export.modeling_decilm import PARTS, DeciLMConfig, channels, remove, resize
from workers.export.route import ZERO_CHANNELS, export_route
from workers.export.stock_layers import facts_of
from workers.export.write import save_model
from workers.models.load_model import load_model
from workers.models.loaded_model import LoadedModel
from workers.sources import ModelSource

PLAN = ".fa.bf"
NUM_BLOCKS = 6


class DeciLMModel(LlamaModel):
    """The text part that transformers builds for `nemotron-nas`; its layers are those of `modeling_decilm.py`."""

    config_class = DeciLMConfig

    def __init__(self, config: DeciLMConfig) -> None:
        super().__init__(config)
        for layer, block in zip(self.layers, config.block_configs, strict=True):
            for sublayer in PARTS:
                if block[sublayer].no_op:
                    remove(layer, sublayer)
            resize(layer, config, channels(block.ffn, config.hidden_size))


def join(language: Path, base: Path, place: Path) -> Path:
    """Put the language model of an export into the folder of its base, under the names of LLaVA on the hub."""
    place.mkdir()
    config, text = (json.loads((folder / "config.json").read_text()) for folder in (base, language))
    text.pop("auto_map")
    (place / "config.json").write_text(json.dumps({**config, "text_config": text}))
    kept = {k: v for k, v in load_file(base / "model.safetensors").items() if not k.startswith("language_model.")}
    own = {f"language_model.{name}": tensor for name, tensor in load_file(language / "model.safetensors").items()}
    save_file({**kept, **own}, place / "model.safetensors", {"format": "pt"})
    return place


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    folder = tmp_path_factory.mktemp("models") / "llava"
    folder.mkdir()
    name = save_as_on_hub(folder, "llava", num_hidden_layers=NUM_BLOCKS, intermediate_size=512)
    return ModelSource(name=name, device="cpu")


@pytest.fixture(scope="module")
def base(source: ModelSource) -> LoadedModel:
    return load_model(source)


@pytest.fixture(scope="module")
def whole(source: ModelSource, base: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    route = export_route(Plan.parse(PLAN), facts_of(base.model), "nemotron-nas")
    save_model(base.model, route, folder / "language", source)
    return join(folder / "language", Path(source.name), folder / "llava")


def test_its_tensors_are_those_of_the_base_less_what_is_removed(source: ModelSource, whole: Path) -> None:
    text = json.loads((whole / "config.json").read_text())["text_config"]
    assert (text["architectures"], text["model_type"]) == (["DeciLMForCausalLM"], "nemotron-nas")
    assert text["num_hidden_layers"] == len(text["block_configs"])
    dense, made = load_file(Path(source.name) / "model.safetensors"), load_file(whole / "model.safetensors")
    assert {k for k in dense if ".layers." not in k} == {k for k in made if ".layers." not in k}
    assert any(name.startswith("vision_tower.vision_model.") for name in made)
    prefix = "language_model.model.layers."
    stock = {name.removeprefix(f"{prefix}0.") for name in dense if name.startswith(f"{prefix}0.")}
    for number, block in enumerate(text["block_configs"]):
        held = {name.split(".", 4)[4] for name in made if name.startswith(f"{prefix}{number}.")}
        lacking = tuple(part for part in PARTS["attention"] if block["attention"]["no_op"])
        assert held == {name for name in stock if not name.startswith(lacking or "no")}
        up = made[f"{prefix}{number}.mlp.up_proj.weight"]
        assert up.any() or len(up) == ZERO_CHANNELS, "a lone attention has an FFN of zeros"
    assert sum(tensor.numel() for tensor in made.values()) < sum(tensor.numel() for tensor in dense.values())


def test_the_stock_class_of_llava_computes_what_the_search_did(
    base: LoadedModel, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CONFIG_MAPPING, "_extra_content", dict(CONFIG_MAPPING._extra_content))
    monkeypatch.setattr(MODEL_MAPPING, "_extra_content", dict(MODEL_MAPPING._extra_content))
    AutoConfig.register("nemotron-nas", DeciLMConfig)
    AutoModel.register(DeciLMConfig, DeciLMModel)
    model, read = LlavaForConditionalGeneration.from_pretrained(whole, output_loading_info=True)
    assert not read["missing_keys"] and not read["unexpected_keys"]
    for sample in hub_samples("test")[:3]:
        prompt = base.prompt_encoder.prompt(sample.question, 1)
        inputs: dict[str, Any] = encode(base.processor, [prompt], [sample.images], base.device)
        with torch.no_grad():
            got = model.eval()(**inputs).logits
            with apply_plan(base.model, Plan.parse(PLAN)):
                want = base.model(**inputs).logits
        torch.testing.assert_close(got, want)


@needs["mlx-vlm"]
@pytest.mark.slow
def test_mlx_vlm_refuses_it(whole: Path, tmp_path: Path) -> None:
    save_file({"0.input_ids": torch.ones(1, 1, dtype=torch.long)}, tmp_path / "inputs.safetensors")
    (tmp_path / "request.json").write_text(json.dumps({"folder": str(whole), "questions": 1, "positions": 1}))
    start = OneProcess()
    with pytest.raises(EngineFailed, match="nemotron-nas not supported"):
        start(Path("workers/export/engines/run_mlx_vlm.py").absolute(), tmp_path)
    start.close()
