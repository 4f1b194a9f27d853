"""The description of a model without torch equals that of transformers and the processor."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from functools import partial

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText, LlavaConfig

from objectives.memory import parameter_bytes
from spaces.plan import Plan
from spaces.shape import VisionShape
from tests.workers.tiny import NUM_BLOCKS, NUM_VISUAL, tiny_config, tiny_processor, tiny_samples
from workers.data.load_split import load_samples
from workers.describe import describe_model, describe_workload, fingerprint
from workers.embedded.words import build_processor
from workers.fingerprints import fingerprint_model, fingerprint_samples
from workers.inference.packed_forward import projector
from workers.inference.prepare import prepare
from workers.models.chat_template import read_prompter
from workers.models.count_on_meta import shape_without_weights
from workers.models.decoder_sizes import DecoderSizes
from workers.models.llava_config import DEFAULTS, is_llava
from workers.models.llava_config import LlavaConfig as LlavaParts
from workers.models.load_model import load_model
from workers.models.prompt_forms import conversation
from workers.sources import DataSource, ModelSource

# What the config.json of llava-hf/llava-1.5-7b-hf holds of its text_config: almost everything is left to defaults.
LLAVA_1_5 = {
    "model_type": "llava",
    "image_token_index": 32000,
    "text_config": {"model_type": "llama", "max_position_embeddings": 4096, "vocab_size": 32064},
    "vision_config": {
        "hidden_size": 1024,
        "image_size": 336,
        "intermediate_size": 4096,
        "model_type": "clip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "vocab_size": 32000,
    },
}


def test_shape_of_the_tiny_model(tiny_source, loaded):
    shape = describe_model(tiny_source)
    assert (shape.num_blocks, shape.num_kv_heads, shape.head_size, shape.gated_ffn) == (NUM_BLOCKS, 2, 10, True)
    assert shape.visual_tokens_per_image == NUM_VISUAL
    assert shape.projector == tuple((m.in_features, m.out_features) for m in list(projector(loaded).children())[::2])
    assert shape.num_parameters == sum(p.numel() for p in loaded.model.parameters())
    assert shape.vision == VisionShape(
        num_layers=3, hidden_size=24, num_heads=3, ffn_size=40, num_channels=3, image_size=16, patch_size=8
    )


@pytest.mark.parametrize(
    "raw", [LLAVA_1_5, {"model_type": "llava"}, {**LLAVA_1_5, "vision_feature_layer": [-2, -5]}, None]
)
def test_absent_keys_mean_what_the_config_classes_say(raw):
    raw = raw or tiny_config().to_dict()
    filled = LlavaConfig.from_dict(json.loads(json.dumps(raw, default=str))).to_dict()
    assert is_llava(raw) and is_llava(filled)
    assert LlavaParts.of(raw).shape(2) == LlavaParts.of(filled).shape(2)


def test_llava_1_5():
    shape = LlavaParts.of(LLAVA_1_5).shape(bytes_per_parameter=2)
    assert (shape.num_blocks, shape.hidden_size, shape.ffn_size, shape.vocab_size) == (32, 4096, 11008, 32064)
    assert (shape.num_kv_heads, shape.head_size, shape.visual_tokens_per_image) == (32, 128, 576)


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_those_of_the_config_class(name):
    fresh = CONFIG_MAPPING[name]()
    assert {key: getattr(fresh, key) for key in DEFAULTS[name]} == DEFAULTS[name]


@pytest.mark.parametrize("raw", [pytest.param(LLAVA_1_5, marks=pytest.mark.slow), None], ids=["llava 1.5", "tiny"])
def test_the_config_of_a_llava_gives_the_sizes_of_its_modules(raw):
    config = LlavaConfig.from_dict(raw) if raw else tiny_config()
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager").eval()
    built, read = shape_without_weights(model, 2, None), LlavaParts.of(config.to_dict()).shape(2)
    sizes = [each.name for each in fields(DecoderSizes)]
    assert [getattr(read, name) for name in sizes] == [getattr(built, name) for name in sizes]
    assert parameter_bytes(read, Plan.dense(read.num_blocks)) == 2 * built.num_parameters
    assert all((kind.window, kind.is_parallel, kind.counted) == (None, False, None) for kind in built.kinds)


class TestWorkload:
    def test_equals_what_the_worker_feeds(self, tiny_source, loaded):
        samples = tiny_samples("search")
        workload, prepared = describe_workload(tiny_source, samples), prepare(loaded, samples)
        prompts = sum(len(item.prompt) for item in prepared.items) / len(samples)
        assert workload.prompt_tokens == pytest.approx(prompts)
        assert workload.generated_tokens == pytest.approx(sum(len(i.answer) for i in prepared.items) / len(samples))

    @pytest.mark.parametrize(
        ("build", "data"),
        [
            (tiny_processor, "tiny"),
            (partial(tiny_processor, template_adds=False, tokenizer_adds=True), "tiny"),
            (partial(tiny_processor, tokenizer_adds=True), "tiny"),
            (build_processor, "embedded"),
        ],
        ids=["template adds bos", "tokenizer adds bos", "both would", "embedded"],
    )
    def test_ids_equal_those_of_the_processor(self, tmp_path, build, data):
        processor = build()
        processor.save_pretrained(tmp_path)
        prompter = read_prompter(ModelSource(name=str(tmp_path)))
        image = processor.image_token_id
        for sample in load_samples(DataSource(name=data), "search", 24):
            ids = processor.apply_chat_template(
                conversation(sample.question, sample.image), add_generation_prompt=True, tokenize=True, return_dict=True
            )["input_ids"][0]
            mine = prompter.prompt_ids(sample.question)
            text = processor.apply_chat_template(conversation(sample.question), add_generation_prompt=True)
            assert prompter.text(sample.question) == text
            assert [i for i in mine if i != image] == [i for i in ids if i != image]
            assert (mine.count(image), mine[0], mine.count(mine[0])) == (1, processor.tokenizer.bos_token_id, 1)
            answer = processor.tokenizer(sample.answers[0], add_special_tokens=False).input_ids
            assert prompter.answer_ids(sample.answers[0]) == [*answer, processor.tokenizer.eos_token_id]

    def test_a_tokenizer_that_adds_the_first_token(self, tiny_folder, tmp_path):
        for file in tiny_folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        tiny_processor(template_adds=False, tokenizer_adds=True).save_pretrained(tmp_path)
        source, samples = ModelSource(name=str(tmp_path)), tiny_samples("search")
        prepared = prepare(load_model(source), samples)
        assert all(item.prompt[:2].count(1) == 1 for item in prepared.items)
        lengths = [len(item.prompt) for item in prepared.items]
        assert describe_workload(source, samples).prompt_tokens == pytest.approx(sum(lengths) / len(lengths))

    def test_no_samples(self, tiny_source):
        with pytest.raises(ValueError, match="at least one sample"):
            describe_workload(tiny_source, [])


@pytest.mark.slow
def test_a_hub_id_from_the_cache(tiny_folder, tmp_path):
    """As after a download: the hub client's own cache, and no network."""
    snapshot = tmp_path / "hub" / "models--me--tiny" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    for file in tiny_folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    (tmp_path / "hub" / "models--me--tiny" / "refs").mkdir()
    (tmp_path / "hub" / "models--me--tiny" / "refs" / "main").write_text("a" * 40)
    code = f"""
from workers.describe import describe_model, describe_workload
from workers.fingerprints import fingerprint_model
from workers.models.load_model import load_model
from workers.sources import ModelSource
from tests.workers.tiny import tiny_samples
hub, local = ModelSource(name="me/tiny"), ModelSource(name={str(tiny_folder)!r})
shape = describe_model(local)
assert describe_model(hub) == dataclasses.replace(shape, num_parameters=None)
assert describe_workload(hub, tiny_samples("search")) == describe_workload(local, tiny_samples("search"))
assert load_model(hub).model.config.text_config.num_hidden_layers == shape.num_blocks
print(fingerprint_model(hub))
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", "import dataclasses" + code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 16


class TestErrors:
    def test_a_folder_without_config(self, tmp_path):
        with pytest.raises(ValueError, match=r"must have a config.json, got .* without one: give the folder"):
            describe_model(ModelSource(name=str(tmp_path)))

    def test_a_config_that_is_no_json(self, tmp_path):
        (tmp_path / "config.json").write_text("{]")
        with pytest.raises(ValueError, match="must be JSON"):
            describe_model(ModelSource(name=str(tmp_path)))

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"model_type": "lava"}, "a model must load with transformers, got"),
            ({}, "a model must load with transformers, got"),
            ({"model_type": "llava", "vision_config": {"model_type": "eva"}}, "a model must load with transformers"),
            ({"model_type": "llama"}, "a model must answer questions about images"),
        ],
    )
    def test_models_that_are_none(self, tmp_path, config, message):
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError) as caught:
            describe_model(ModelSource(name=str(tmp_path)))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_name_that_is_neither_folder_nor_hub_id(self, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(ValueError, match="a model must be 'embedded', a folder") as caught:
            describe_model(ModelSource(name="./no/such/folder"))
        assert "\n" not in str(caught.value)

    def test_no_chat_template(self, tiny_folder, tmp_path):
        for file in tiny_folder.iterdir():
            if file.name != "chat_template.jinja":
                (tmp_path / file.name).write_bytes(file.read_bytes())
        for read in (read_prompter, load_model):
            with pytest.raises(ValueError, match="must have a chat template"):
                read(ModelSource(name=str(tmp_path)))

    def test_weights_that_cannot_be_read(self, tiny_folder, tmp_path):
        for file in tiny_folder.iterdir():
            (tmp_path / file.name).write_bytes(
                file.read_bytes()[:1000] if "safetensors" in file.name else file.read_bytes()
            )
        with pytest.raises(ValueError, match="a model must load with transformers, got") as caught:
            load_model(ModelSource(name=str(tmp_path)))
        assert "\n" not in str(caught.value)

    def test_an_attention_that_takes_no_mask(self, tiny_source):
        with pytest.raises(ValueError, match="unknown attention implementation 'flash_attention_2'"):
            load_model(tiny_source.model_copy(update={"attn_implementation": "flash_attention_2"}))

    def test_unknown_device(self, tiny_source):
        with pytest.raises(ValueError, match="device must be auto"):
            load_model(tiny_source.model_copy(update={"device": "quantum"}))


class TestFingerprints:
    def test_same_things_same_marks(self, tiny_source):
        assert fingerprint(tiny_source, DataSource(name="tiny")) == fingerprint(tiny_source, DataSource(name="tiny"))

    def test_another_weight_is_another_model(self, tiny_folder, tiny_source, tmp_path):
        for file in tiny_folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        copied = ModelSource(name=str(tmp_path))
        assert fingerprint_model(copied) == fingerprint_model(tiny_source)
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        assert fingerprint_model(copied) != fingerprint_model(tiny_source)

    def test_another_pixel_or_order_is_another_data_set(self):
        samples = tiny_samples("search")
        mark = fingerprint_samples(samples)
        assert mark == fingerprint_samples(tiny_samples("search"))
        assert mark != fingerprint_samples(samples[::-1])
        samples[0].image.putpixel((3, 3), (1, 2, 3))
        assert mark != fingerprint_samples(samples)


def test_describing_imports_no_torch(tiny_folder):
    code = f"""
import sys
from workers.describe import describe_model, describe_workload, fingerprint
from workers.sources import DataSource, ModelSource
from workers.data.load_split import load_samples
from workers.data.load_split import load_samples
source = ModelSource(name={str(tiny_folder)!r})
describe_model(source)
describe_workload(source, load_samples(DataSource(), "search", 8))
fingerprint(source, DataSource())
sys.exit(any(name in sys.modules for name in ("torch", "transformers")))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
