"""The nemotron-nas form: read back by transformers, and run by mlx-lm, an engine with code of its own for it."""

import copy
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from spaces.plan import Plan
from tests.workers.export.test_export import record, request, silent
from tests.workers.tiny import NUM_BLOCKS, WORDS, random_llava, tiny_config, tiny_processor
from workers import load_exported
from workers.apply_plan import apply_plan
from workers.export.layer_facts import config_facts
from workers.export.route import Badge, ExportError, export_route
from workers.export.stock_layers import build, facts_of
from workers.export.write import export
from workers.models.load_model import load_model
from workers.sources import ModelSource

PLANS = {"mixed": "fabf", "without a first attention": "ba..", "attention alone": "fff."}
PROMPT = torch.randint(5, len(WORDS), (1, 9), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> ModelSource:
    """A tiny LLaVA whose decoder the form can hold: grouped queries, 512 FFN channels."""
    config = tiny_config()
    config.text_config.intermediate_size, config.text_config.head_dim = 512, 8
    model = random_llava(config)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return ModelSource(name=str(folder), device="cpu")


@pytest.fixture(scope="module")
def whole(source):
    return load_model(source)


@pytest.fixture(scope="module")
def exports(source, whole, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    tuned = folder / "tuned.safetensors"
    save_file({name: (tensor * 0.5).contiguous() for name, tensor in whole.weights.items()}, tuned)
    requests = {
        name: request(source, plan, form="nemotron-nas", mapping_module=str(tuned)) for name, plan in PLANS.items()
    }
    export(requests, folder / "made", say=silent)
    return folder / "made"


def in_search(whole, plan: str) -> torch.Tensor:
    """(1, tokens, vocabulary) logits of the language model under the plan."""
    with torch.no_grad(), apply_plan(whole.model, Plan.parse(plan)):
        return whole.model(PROMPT).logits


@pytest.mark.slow
class TestFolder:
    @pytest.mark.parametrize("name", PLANS)
    def test_was_checked_inside_its_base_model(self, exports, name):
        made = record(exports / name)
        assert made["badge"] == Badge.NEMOTRON
        assert made["checked"]["logits_bit_equal"]
        assert made["checked"]["accuracy"] == made["checked"]["in_search_accuracy"]
        assert made["measured"]["parameters"]["exported"] < made["measured"]["parameters"]["dense"]
        assert "mapping_module/model.safetensors" in made["files"]
        assert "vllm serve" not in (exports / name / "README.md").read_text()

    def test_blocks_are_told_as_engines_read_them(self, exports):
        config = json.loads((exports / "mixed" / "config.json").read_text())
        assert (config["model_type"], config["architectures"]) == ("nemotron-nas", ["DeciLMForCausalLM"])
        assert config["num_hidden_layers"] == len(config["block_configs"]) == 2
        attention = {"no_op": False, "n_heads_in_group": 2, "replace_with_linear": False}
        whole, zeros = (
            {"no_op": False, "ffn_mult": 3 * channels / (2 * 32), "replace_with_linear": False}
            for channels in (512, 256)
        )
        assert config["block_configs"] == [
            {"attention": attention, "ffn": whole},
            {"attention": attention, "ffn": zeros},
        ]
        assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]

    def test_a_layer_without_attention_is_first_only_with_one_of_zeros(self, exports):
        config = json.loads((exports / "without a first attention" / "config.json").read_text())
        weights = load_file(exports / "without a first attention" / "model.safetensors")
        assert not config["block_configs"][0]["attention"]["no_op"]
        assert not weights["model.layers.0.self_attn.o_proj.weight"].any()

    def test_a_layer_without_ffn_has_one_of_zeros(self, exports):
        """llama.cpp drops the attention of a layer whose FFN has no channels."""
        config = json.loads((exports / "attention alone" / "config.json").read_text())
        weights = load_file(exports / "attention alone" / "model.safetensors")
        for number in range(3):
            assert not config["block_configs"][number]["ffn"]["no_op"]
            for name in ("gate_proj", "up_proj", "down_proj"):
                assert not weights[f"model.layers.{number}.mlp.{name}.weight"].any()
        assert weights["model.layers.3.mlp.down_proj.weight"].any()

    @pytest.mark.parametrize("name", PLANS)
    def test_holds_the_language_model_alone_and_no_skipped_attention(self, exports, name):
        weights = load_file(exports / name / "model.safetensors")
        config = json.loads((exports / name / "config.json").read_text())
        for number, block in enumerate(config["block_configs"]):
            parts = ("self_attn", "input_layernorm")
            held = [key for key in weights if key.startswith(tuple(f"model.layers.{number}.{p}" for p in parts))]
            skipped = block["attention"]["no_op"]
            assert bool(held) != skipped
            assert (block["attention"]["n_heads_in_group"] is None) == skipped  # a key that converters look up
        assert not [key for key in weights if "vision" in key or "projector" in key]

    @pytest.mark.parametrize("name", PLANS)
    def test_without_remote_code_it_computes_what_the_search_did(self, exports, whole, name):
        model, tokenizer = load_exported(exports / name)
        assert tokenizer.get_vocab() == whole.processor.tokenizer.get_vocab()
        with torch.no_grad():
            assert torch.equal(model(PROMPT).logits, in_search(whole, PLANS[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_mlx_lm_computes_what_the_search_did(exports, whole, name):
    mx = pytest.importorskip("mlx.core", reason="mlx runs on Linux and macOS")
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.utils import load_model as load_with_mlx

    model, _ = load_with_mlx(exports / name)
    want = in_search(whole, PLANS[name])[0]
    got = torch.tensor(model(mx.array(PROMPT.tolist())).tolist())[0]
    torch.testing.assert_close(got, want, atol=2e-4 * float(want.abs().max()), rtol=0)  # float32, other kernels
    cache = make_prompt_cache(model)
    steps = [model(mx.array([[token]]), cache=cache) for token in PROMPT[0].tolist()]
    stepped = torch.tensor(mx.concatenate(steps, axis=1).tolist())[0]
    torch.testing.assert_close(stepped, want, atol=2e-4 * float(want.abs().max()), rtol=0)


@given(channels=st.integers(1, 200).map(lambda n: 256 * n), hidden=st.integers(1, 128).map(lambda n: 64 * n))
def test_engines_find_the_channels_again(channels, hidden):
    """vLLM, llama.cpp and mlx-lm compute them from `ffn_mult`; the last rounds it to six digits first."""
    mult = 3 * channels / (2 * hidden)
    for read in (mult, round(mult, 6)):
        size = int(2 * read * hidden / 3)
        assert -(-size // 256) * 256 == channels


class TestRefusals:
    def test_parallel_blocks(self, whole):
        with pytest.raises(
            ExportError, match=r"nemotron-nas must be a plan that its layers can hold.*parallel at block 0"
        ):
            export_route(Plan.parse("p..."), facts_of(whole.model), "nemotron-nas")

    @pytest.mark.parametrize(
        ("change", "told"), [({"intermediate_size": 48}, "multiple of 256"), ({"head_dim": 10}, "as wide as it")]
    )
    def test_decoders_that_the_form_cannot_hold(self, whole, change, told):
        config = copy.deepcopy(whole.model.config)
        for name, value in change.items():
            setattr(config.text_config, name, value)
        with pytest.raises(ExportError, match=told):
            export_route(Plan.dense(NUM_BLOCKS), config_facts(config), "nemotron-nas")

    def test_no_layer_left(self, whole):
        with pytest.raises(ExportError, match="must be a plan with a layer"):
            export_route(Plan.parse("bbbb"), facts_of(whole.model), "nemotron-nas")


def test_tied_embeddings(source, tmp_path):
    """The LM head is then no weight of its own."""
    whole = load_model(source)
    whole.model.config.tie_word_embeddings = whole.model.config.text_config.tie_word_embeddings = True
    whole.model.tie_weights()
    built = build(whole.model, export_route(Plan.parse("f.a."), facts_of(whole.model), "nemotron-nas"))
    built.save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"]
