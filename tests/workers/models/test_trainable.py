"""Training of the mapping module, weights by name, or low-rank adapters; all are restored bit for bit."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from spaces.plan import Plan
from tests.fast import but_slow
from tests.workers.hub import hub_model, hub_processor, hub_samples, save_hub
from tests.workers.tiny import tiny_model
from workers.apply_plan import apply_plan
from workers.data.load_split import load_samples
from workers.inference.prepare import PackedSplit, prepare
from workers.lora_options import parse_lora
from workers.models.chat_template import PromptEncoder
from workers.models.load_model import assemble, load_model
from workers.models.mapping_module import find_mapping
from workers.models.trainable import copy_state, put_state
from workers.requests import TuningRecipe
from workers.sources import DataSource, ModelSource
from workers.tuning import Tuning, TuningSchedule

RECIPE = TuningRecipe(learning_rate=2e-2, images_per_step=2, questions_per_image=2)
PROJECTOR = "model.multi_modal_projector"


def loaded_as(what, family="llava"):
    return assemble(hub_model(family), PromptEncoder(hub_processor(family), None), what)


def tune(loaded, steps=10, text="a..."):
    schedule = TuningSchedule(loaded, prepare(loaded, hub_samples("train", 3)), RECIPE, seed=0)
    with apply_plan(loaded.model, Plan.parse(text)):
        tuning = Tuning(schedule, steps)
        before = tuning.loss(0).item()
        tuning.until(steps)
        return before, tuning.loss(0).item()


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "modules"),
        [
            (f"{PROJECTOR}.linear_2.*", {f"{PROJECTOR}.linear_2"}),
            ("*linear_2", {f"{PROJECTOR}.linear_2"}),
            ("*linear_1.bias, *linear_2", {f"{PROJECTOR}.linear_1", f"{PROJECTOR}.linear_2"}),
            ("*pre_layrnorm", {"model.vision_tower.pre_layrnorm"}),
        ],
    )
    def test_names_and_modules_match(self, pattern, modules):
        assert {name.rpartition(".")[0] for name in loaded_as(pattern).weights} == modules

    @pytest.mark.parametrize("pattern", [PROJECTOR, "*linear_2"])
    def test_questions_are_packed_where_the_weights_are_those_of_the_mapping_module(self, pattern, caplog):
        assert isinstance(prepare(loaded_as(pattern), hub_samples("search", 2)), PackedSplit)
        assert not isinstance(prepare(loaded_as("*pre_layrnorm"), hub_samples("search", 2)), PackedSplit)
        assert "in a separate sequence" in caplog.text

    @pytest.mark.parametrize("family", ["idefics3", "qwen2_vl"])
    def test_weights_inside_the_tower_are_trained_too(self, family):
        """Then modules after them can't be replayed, modules before them can."""
        pattern = {"idefics3": "*vision_model*mlp", "qwen2_vl": "*visual.blocks.0.mlp"}[family]
        loaded = loaded_as(pattern, family)
        all_before = {name: weight.clone() for name, weight in loaded.model.named_parameters()}
        before, after = tune(loaded)
        changed = {
            name for name, weight in loaded.model.named_parameters() if not torch.equal(weight, all_before[name])
        }
        assert changed == set(loaded.weights) and after < before
        assert any("attn" in path for path in loaded.replay.modules)
        assert not any("mlp" in path or "merger" in path or "connector" in path for path in loaded.replay.modules)

    @pytest.mark.parametrize("pattern", ["*language_model*", "lm_head", "nothing", "*linear_1,*nothing"])
    def test_a_pattern_that_matches_nothing_outside_of_the_decoder_is_refused(self, pattern):
        with pytest.raises(
            ValueError, match=r"trainable must be 'mapping', 'lora' or a pattern.*there are .*projector"
        ):
            loaded_as(pattern)

    def test_weights_without_effect_are_refused(self):
        with pytest.raises(ValueError, match=r"must have an effect on the answers, got '.*post_layernorm', which has"):
            loaded_as("*post_layernorm")


class TestLora:
    @pytest.mark.parametrize("family", but_slow(["llava", "qwen3_vl", "idefics3"], ["llava"]))
    def test_adapters_start_as_the_model_itself_and_are_trained_alone(self, family):
        plain, loaded = loaded_as("mapping", family), loaded_as("lora:r=3,alpha=6", family)
        samples = hub_samples("search", 2)
        with torch.no_grad():
            logits = [
                each.answer_logits(which, each.answer_batch(which, range(6), 3))
                for which in (plain, loaded)
                for each in [prepare(which, samples)]
            ]
        torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)
        assert {weight.shape[0] for name, weight in loaded.weights.items() if "lora_A" in name} == {3}
        frozen = {name: p.clone() for name, p in loaded.model.named_parameters() if name not in loaded.weights}
        start = copy_state(loaded.weights)
        before, after = tune(loaded, 20)
        assert after < before
        assert all(torch.equal(frozen[name], p) for name, p in loaded.model.named_parameters() if name in frozen)
        assert all(not torch.equal(start[name], weight) for name, weight in loaded.weights.items())
        put_state(loaded.weights, start)
        with torch.no_grad():
            prepared = prepare(loaded, samples)
            assert torch.equal(prepared.answer_logits(loaded, prepared.answer_batch(loaded, range(6), 3)), logits[1])

    def test_the_first_weights_are_always_the_same(self):
        once, twice = (copy_state(loaded_as("lora").weights) for _ in range(2))
        assert all(torch.equal(once[name], twice[name]) for name in once)

    def test_options(self):
        assert parse_lora("mapping") is None
        assert (parse_lora("lora").r, parse_lora("lora:alpha=4, r=2").alpha) == (8, 4)
        for text, why in (
            ("lora:rank=3", "unknown option of lora"),
            ("lora:r=0", "must be positive numbers, got 'r=0'"),
            ("lora:r", "must be positive"),
        ):
            with pytest.raises(ValueError, match=why):
                parse_lora(text)

    def test_a_mapping_module_without_linear_layers_is_refused(self):
        with pytest.raises(ValueError, match="need linear layers in the mapping module, got none in"):
            loaded_as("lora", "gemma3")


class TestState:
    def test_round_trip_through_a_file(self, tmp_path):
        loaded = loaded_as("lora")
        before = copy_state(loaded.weights)
        tune(loaded)
        tuned = copy_state(loaded.weights)
        save_file(tuned, tmp_path / "tuned.safetensors")
        put_state(loaded.weights, before)
        put_state(loaded.weights, load_file(tmp_path / "tuned.safetensors"))
        assert all(torch.equal(tuned[name], weight) for name, weight in loaded.weights.items())

    def test_files_that_name_weights_within_the_module_are_read(self, loaded):
        before = copy_state(loaded.weights)
        short = {name.removeprefix(f"{PROJECTOR}."): tensor * 2 for name, tensor in before.items()}
        put_state(loaded.weights, short)
        try:
            assert all(torch.equal(before[name] * 2, weight) for name, weight in loaded.weights.items())
        finally:
            put_state(loaded.weights, before)

    def test_the_state_of_another_model_changes_nothing(self, loaded):
        before = copy_state(loaded.weights)
        first, *others = before
        for state in (
            {name: before[name] * 2 for name in others},
            {**before, "more": torch.zeros(1)},
            {**before, first: torch.zeros(2, 2)},
        ):
            with pytest.raises(ValueError, match=r"is missing|holds more|is \(2, 2\), not"):
                put_state(loaded.weights, state)
        assert all(torch.equal(before[name], weight) for name, weight in loaded.weights.items())


class TestFinding:
    def test_a_resampler_belongs_to_the_mapping_module_where_nothing_stands_after_it(self):
        """A stack of blocks with the decoder's input as its output: no projector follows."""
        model = hub_model("llava")
        width = model.config.text_config.hidden_size

        class Resampler(nn.Module):
            def __init__(self):
                super().__init__()
                self.inwards = nn.Linear(16, width)
                self.layers = nn.ModuleList(
                    nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True) for _ in range(2)
                )

            def forward(self, features):
                hidden = self.inwards(features)
                for layer in self.layers:
                    hidden = layer(hidden)
                return hidden

        torch.manual_seed(0)
        model.model.multi_modal_projector = Resampler().eval()
        loaded = assemble(model, PromptEncoder(hub_processor("llava"), None))
        assert loaded.mapping == (PROJECTOR,)
        assert {name.split(".")[2] for name in loaded.weights} == {"inwards", "layers"}

    def test_flags_are_left_as_they_were(self):
        model = hub_model("llava")
        model.lm_head.weight.requires_grad_(True)
        inputs = PromptEncoder(hub_processor("llava"), None).inputs(["what ?"], [hub_samples("search")[0].image])
        find_mapping(model, inputs)
        assert [n for n, weight in model.named_parameters() if weight.requires_grad] == ["lm_head.weight"]

    def test_a_model_with_nothing_between_tower_and_decoder_is_refused(self):
        model = hub_model("llava", hidden_size=16, head_dim=4)
        model.model.multi_modal_projector = nn.Identity()
        model.model.vision_tower.pre_layrnorm.requires_grad_(False)
        prompt_encoder = PromptEncoder(hub_processor("llava"), None)
        for part in (model.model.vision_tower,):
            part.forward = _without_weights(part)
        with pytest.raises(ValueError, match=r"must have weights between.*--trainable PATTERN"):
            assemble(model, prompt_encoder)


def _without_weights(tower):
    def forward(pixel_values, **options):
        patches = pixel_values.unfold(2, 8, 8).unfold(3, 8, 8).flatten(2, 3).mean(1).flatten(2)[..., :16]
        return (
            type(tower)
            .forward(tower, pixel_values, **options)
            .__class__(last_hidden_state=patches, hidden_states=(torch.nn.functional.pad(patches, (0, 0, 1, 0)),) * 2)
        )

    return forward


class TestLoading:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        return save_hub(tmp_path_factory.mktemp("models") / "idefics3", "idefics3")

    def test_options_reach_every_loading_call(self, folder, monkeypatch):
        import transformers

        seen = []
        for name in ("AutoModelForImageTextToText", "AutoProcessor", "AutoConfig"):
            kind = getattr(transformers, name)
            real = kind.from_pretrained

            def load(*args, real=real, name=name, **options):
                seen.append((name, options["revision"], options["trust_remote_code"]))
                return real(*args, **options)

            monkeypatch.setattr(kind, "from_pretrained", load)
        options = {"dtype": "bfloat16", "attn_implementation": "eager", "revision": "main", "trust_remote_code": True}
        loaded = load_model(ModelSource(name=folder, device="cpu", trainable="lora", **options))
        names = ("AutoConfig", "AutoProcessor", "AutoModelForImageTextToText")
        assert {("AutoConfig", "main", True), *((name, "main", True) for name in names)} <= set(seen)
        assert loaded.model.dtype == torch.bfloat16
        assert loaded.decoder.config._attn_implementation == "eager"
        assert all("lora" in name for name in loaded.weights)

    def test_a_tokenizer_without_padding_gets_one(self, tmp_path):
        folder = save_hub(tmp_path / "model", "llava_next")
        path = tmp_path / "model" / "tokenizer_config.json"
        config = json.loads(path.read_text())
        del config["pad_token"]
        path.write_text(json.dumps(config))
        loaded = load_model(ModelSource(name=folder, device="cpu"))
        prepared = prepare(loaded, hub_samples("search", 2))
        assert loaded.processor.tokenizer.pad_token == "</s>"
        assert len(prepared.answer_ids(loaded, 6)) == 6

    def test_a_text_model_is_refused_before_its_weights_are_read(self, tmp_path):
        tiny_model().model.language_model.config.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=r"must answer questions about images, got .* of the type llama"):
            load_model(ModelSource(name=str(tmp_path), device="cpu"))

    @pytest.mark.parametrize("config", [{"model_type": "lava"}, {}])
    def test_what_transformers_does_not_know_is_refused_in_one_line(self, tmp_path, config):
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match="must load with transformers, got") as caught:
            load_model(ModelSource(name=str(tmp_path), device="cpu"))
        assert "\n" not in str(caught.value)

    def test_a_folder_that_is_gone_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="a model must"):
            load_model(ModelSource(name=str(tmp_path / "gone"), device="cpu"))

    def test_mistakes_in_what_to_train_are_told_before_anything_is_loaded(self):
        with pytest.raises(ValueError, match="unknown option of lora 'R'"):
            ModelSource(trainable="lora:R=3")

    def test_a_saved_processor_is_that_of_the_family(self, folder):
        loaded = load_model(ModelSource(name=folder, device="cpu"))
        prepared = prepare(loaded, load_samples(DataSource(name="tiny"), "search", 3))
        assert type(loaded.processor).__name__ == "Idefics3Processor"
        assert [len(ids) > 0 for ids in prepared.answer_ids(loaded, 3)] == [True] * 3
