"""The source paper's mapping module, as remote code of a folder: packed, searched and exported like any other model."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import CLIPImageProcessorPil, EfficientNetConfig, LlavaProcessor

import search.report
import search.run
from spaces.plan import Plan
from tests.command import call
from tests.workers.hub import TEMPLATE, VOCABULARY, WORDS, word_tokenizer
from tests.workers.saved_data import questions, save
from tests.workers.zoo import TEXT, fill
from workers.export.request import ExportRequest
from workers.export.write import export
from workers.inference.packing_check import packing_is_exact
from workers.models.load_model import load_model
from workers.pretrained.learned_queries import config_of, write_folder
from workers.pretrained.modeling_learned_queries import LearnedQueries, LearnedQueriesForConditionalGeneration
from workers.requests import Rung, TrialRequest
from workers.sources import DataSource, ModelSource

MODULE = "model.multi_modal_projector"
IMAGES = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
SPLITS = {"train": questions(12), "validation": questions(6, 100), "test": questions(4, 200)}
SIZES = {"mapping_layers": 2, "mapping_width": 8, "mapping_heads": 2, "num_queries": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model folder with random weights."""
    place = tmp_path_factory.mktemp("queries")
    vision = EfficientNetConfig(
        image_size=32, width_coefficient=0.1, depth_coefficient=0.1, hidden_dim=128, hidden_size=128
    )
    text = {**TEXT, "vocab_size": VOCABULARY, "model_type": "llama"}
    image = len(WORDS)
    model = LearnedQueriesForConditionalGeneration(config_of(vision.to_dict(), text, image, **SIZES))
    fill(model)
    model.generation_config.update(eos_token_id=2, pad_token_id=0, bos_token_id=1)
    processor = LlavaProcessor(
        IMAGES,
        word_tokenizer(("<image>",)),
        32,
        "full",
        TEMPLATE.replace("IMAGE", "<image>"),
        num_additional_image_tokens=2,
    )
    write_folder(model.eval(), processor, place)
    return place


def source(folder: Path) -> ModelSource:
    return ModelSource(name=str(folder), trust_remote_code=True, trainable=MODULE, device="cpu")


def test_the_whole_module_is_trained_and_questions_are_packed(folder: Path) -> None:
    loaded = load_model(source(folder))
    names = {name for name, _ in loaded.model.get_submodule(MODULE).named_parameters(prefix=MODULE)}
    assert set(loaded.weights) == names and f"{MODULE}.queries" in names
    assert loaded.mapping == (MODULE,)
    assert packing_is_exact(loaded)


def test_without_a_name_the_last_linear_layer_is_trained(folder: Path) -> None:
    loaded = load_model(source(folder).model_copy(update={"trainable": "mapping"}))
    assert loaded.mapping == (f"{MODULE}.output",)


def test_sizes_of_the_paper() -> None:
    config = config_of({"model_type": "efficientnet", "hidden_size": 1280}, {**TEXT, "model_type": "llama"}, 60)
    mapping = LearnedQueries(config)
    assert mapping(torch.randn(2, 16, 1280)).shape == (2, 10, TEXT["hidden_size"])
    reference = nn.TransformerEncoderLayer(256, 8, 1024, activation="gelu", batch_first=True, norm_first=True)
    assert len(mapping.layers) == 5
    assert sum(map(torch.Tensor.numel, mapping.layers.parameters())) == 5 * sum(
        map(torch.Tensor.numel, reference.parameters())
    )


def test_a_layer_equals_that_of_torch() -> None:
    reference = nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
    mapping = LearnedQueries(config_of({"hidden_size": 16}, {"model_type": "llama", **TEXT}, 60, **SIZES))
    layer, states = mapping.layers[0], torch.randn(2, 5, 8)
    pairs = {
        "attention_norm": "norm1", "ffn_norm": "norm2", "attention_output": "self_attn.out_proj", "up": "linear1",
        "down": "linear2",
    }  # fmt: skip
    for own, other in pairs.items():
        layer.get_submodule(own).load_state_dict(reference.get_submodule(other).state_dict())
    layer.query_key_value.weight.data.copy_(reference.self_attn.in_proj_weight)
    layer.query_key_value.bias.data.copy_(reference.self_attn.in_proj_bias)
    torch.testing.assert_close(layer(states), reference(states))


@pytest.mark.slow
def test_a_search_and_an_export(folder: Path, tmp_path: Path) -> None:
    data, out = save("json_lines", tmp_path / "data", SPLITS), tmp_path / "run"
    done = call(
        search.run.app, "--model", folder, "--dataset", data, "--trust-remote-code", "--trainable", MODULE,
        "--budget", "3", "--rungs", "0:4,1:8", "--device", "cpu", "--threads", "1", "--allow-blind",
        "--final-seeds", "1", "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert json.loads(call(search.report.app, "--out", out, "--json").stdout)["counts"]["complete"] >= 1
    trial = TrialRequest(
        plan=json.loads(Plan.parse("..b.").to_json()), model=source(folder), data=DataSource(name=data),
        rungs=(Rung(split="test"),), threads=1,
    )  # fmt: skip
    export({"short": ExportRequest(trial=trial)}, tmp_path / "made", say=lambda _: None)
    record = json.loads((tmp_path / "made" / "short" / "plan.json").read_text())
    assert record["checked"]["logits_bit_equal"]
