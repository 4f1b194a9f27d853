"""The saved model, loaded again by stock transformers or through its own file, against the model under the plan."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForImageTextToText, LlavaForConditionalGeneration

from objectives.flops import costs
from objectives.workload import Workload
from spaces.plan import Plan
from tests.fast import draws
from tests.spaces.drawn import plans
from tests.workers.export.routes import stock_or_remote
from tests.workers.tiny import IMAGE_TOKEN, NUM_BLOCKS, NUM_VISUAL, inputs
from workers.apply_plan import apply_plan
from workers.blocks import attention_of_rows
from workers.describe import describe_model
from workers.export import modeling_skipsearch
from workers.export.bundle import MODELING, bundle
from workers.export.route import Badge, export_route
from workers.export.stock_layers import build, facts_of
from workers.pruning.calibrate import calibrate
from workers.pruning.inputs import PruningInputs
from workers.sources import ModelSource

PLANS = ("....", "b...", ".bb.", "bbbb", "fa..", "fbab", "a..f", "ffaa", "aaaa", "ffff", "aabb", ".p..", "pppp", "apfb")
BY_REMOTE_CODE = (".b.a", "a..f", "aaaa", "ffff", "fa.b", "av.bgf", "()b.", ".[]ta", "btbvatfg", "()gpv.")
CASES = [(plan, "auto") for plan in PLANS] + [(plan, "remote-code") for plan in BY_REMOTE_CODE]


def save(loaded, plan: Plan, form: str, folder: Path):
    facts = facts_of(loaded.model)
    route = stock_or_remote(plan, facts) if form == "auto" else export_route(plan, facts, form)
    build(loaded.model, route).save_pretrained(folder)
    return route


def load(folder: Path, badge: Badge):
    options = {"attn_implementation": "sdpa", "dtype": torch.float32}
    if badge is Badge.REMOTE:
        return modeling_skipsearch.SkipsearchLlavaForConditionalGeneration.from_pretrained(folder, **options).eval()
    model = AutoModelForImageTextToText.from_pretrained(folder, **options).eval()
    assert type(model) is LlavaForConditionalGeneration
    return model


def said(model) -> tuple[torch.Tensor, torch.Tensor]:
    batch = inputs()
    with torch.no_grad():
        logits = model(**batch).logits
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "suppress_tokens": [IMAGE_TOKEN]}
    return logits, model.generate(**batch, **options)


def check_equal(loaded, plan: Plan, form: str, folder: Path):
    route = save(loaded, plan, form, folder)
    model = load(folder, route.badge)
    with apply_plan(loaded.model, plan):
        want_logits, want_tokens = said(loaded.model)
    logits, tokens = said(model)
    assert torch.equal(logits, want_logits)
    assert torch.equal(tokens, want_tokens)
    return route, model


@pytest.mark.parametrize(("text", "form"), CASES)
def test_logits_and_generations_equal_the_in_search_model(loaded, tmp_path, text, form):
    plan = Plan.parse(text)
    route, model = check_equal(loaded, plan, form, tmp_path)
    text_config = model.config.get_text_config()
    layers = model.model.language_model.layers
    assert len(layers) == text_config.num_hidden_layers
    assert [layer.self_attn.layer_idx for layer in layers] == list(range(len(layers)))
    assert len(layers) == (NUM_BLOCKS if route.badge is Badge.REMOTE else len(route.layers))


@settings(max_examples=draws(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans(NUM_BLOCKS, NUM_BLOCKS), remote=st.booleans())
def test_any_plan(loaded, tmp_path_factory, plan, remote):
    check_equal(loaded, plan, "remote-code" if remote else "auto", tmp_path_factory.mktemp("any"))


@pytest.mark.parametrize(
    ("text", "form"),
    [("fa.b", "auto"), ("bbb.", "auto"), ("apfb", "auto"), ("aa.f", "remote-code"), ("av()bt", "auto")],
)
def test_parameters_and_flops_shrink_by_what_the_plan_says(loaded, tiny_source, tmp_path, text, form):
    plan = Plan.parse(text)
    route = save(loaded, plan, form, tmp_path)
    model = load(tmp_path, route.badge)
    model.set_attn_implementation("eager")
    batch = {name: value[1:] for name, value in inputs().items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**batch, logits_to_keep=1)
    tokens = batch["input_ids"].shape[1]
    workload = Workload(visual_tokens=NUM_VISUAL, text_tokens=tokens - NUM_VISUAL, generated_tokens=1)
    expected = costs(describe_model(tiny_source), plan, workload)
    assert counter.get_total_flops() == expected.flops
    assert 4 * sum(parameter.numel() for parameter in model.parameters()) == expected.parameter_bytes
    stored = load_file(tmp_path / "model.safetensors")
    assert 4 * sum(tensor.numel() for tensor in stored.values()) == expected.parameter_bytes


def test_a_lone_half_is_a_layer_with_zeros(loaded, tmp_path):
    save(loaded, Plan.parse(".a.f"), "auto", tmp_path)
    model = load(tmp_path, Badge.ZEROED)
    layers = model.model.language_model.layers
    silent = [(not layer.self_attn.o_proj.weight.any(), not layer.mlp.down_proj.weight.any()) for layer in layers]
    assert silent == [(False, False), (True, False), (False, False), (False, True)]


def test_the_loaded_model_is_untouched(loaded, tmp_path):
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    config = loaded.model.config.to_dict()
    for text in ("fab.", ".a.f", "p..."):
        save(loaded, Plan.parse(text), "auto", tmp_path / text)
    assert loaded.model.config.to_dict() == config
    assert all(torch.equal(before[name], tensor) for name, tensor in loaded.model.state_dict().items())


def test_lists_with_one_entry_a_layer_are_shortened(loaded, tmp_path):
    text = loaded.model.config.text_config
    text.layer_types, text.sliding_window = ["full_attention", "sliding_attention"] * 2, 4
    text.mlp_layer_types = ["m1", "m2", "m3", "m4"]
    text.other = [1, 2, 3]
    try:
        built = build(loaded.model, stock_or_remote(Plan.parse("fab."), facts_of(loaded.model))).config.text_config
    finally:
        del text.layer_types, text.sliding_window, text.mlp_layer_types, text.other
    assert built.layer_types == ["full_attention", "sliding_attention"]  # of attentions 0 and 3
    assert built.mlp_layer_types == ["m2", "m4"]
    assert built.other == [1, 2, 3]


@pytest.mark.parametrize("module", MODELING.values())
def test_bundles_need_torch_and_transformers_only(module):
    files = bundle(module)
    assert module.rpartition(".")[2] in files
    nodes = [node for text in files.values() for node in ast.walk(ast.parse(text))]
    absolute = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    absolute |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert {name.partition(".")[0] for name in absolute} - set(sys.stdlib_module_names) == {"torch", "transformers"}
    assert {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level} <= files.keys()


def test_bundled_code_is_that_of_the_search():
    """Except for its import paths."""
    file = bundle(MODELING[Badge.REMOTE])["workers_blocks_attention_of_rows"]
    source = Path(attention_of_rows.__file__).read_text()
    assert file == re.sub(
        r"from workers\.([\w.]+) import", lambda found: f"from .workers_{found[1].replace('.', '_')} import", source
    )


def test_stock_transformers_refuse_a_remote_folder_instead_of_ignoring_the_plan(loaded, tmp_path):
    save(loaded, Plan.parse("p..."), "auto", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "skipsearch_llava"
    with pytest.raises(ValueError, match="trust_remote_code"):
        AutoModelForImageTextToText.from_pretrained(tmp_path, trust_remote_code=False)


@pytest.mark.parametrize("search", [{"num_beams": 3}, {"cache_implementation": "static", "disable_compile": True}])
def test_remote_code_with_other_caches(loaded, tmp_path, search):
    plan = Plan.parse("apfa")
    save(loaded, plan, "remote-code", tmp_path)
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "suppress_tokens": [IMAGE_TOKEN], **search}
    got = load(tmp_path, Badge.REMOTE).generate(**inputs(), **options)
    with apply_plan(loaded.model, plan):
        assert torch.equal(got, loaded.model.generate(**inputs(), **options))


def test_half_precision(tiny_folder, tmp_path):
    from workers.models.load_model import load_model

    half = load_model(ModelSource(name=str(tiny_folder), device="cpu", dtype="bfloat16"))
    save(half, Plan.parse("fa.b"), "auto", tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}


PRUNED = (
    "..{m2:4}.{m50}.", "{w40}....", "{ffn50}....", "{h50}....", "{ffn50,h50}.b..", ".{ffn50}.{ffn25}.b",
   "fa{ffn50}..{h50}", "av{w50}.{h50}()",
)  # fmt: skip


@pytest.mark.parametrize("text", PRUNED)
def test_pruned_plans(loaded, prepared, tiny_source, tmp_path, text):
    """Zeros are written in, cut matrices are narrower; by stock layers where all are as narrow."""
    plan = Plan.parse(text)
    inputs_of = PruningInputs(norms=calibrate(loaded, prepared, 8))
    route = stock_or_remote(plan, facts_of(loaded.model))
    build(loaded.model, route, inputs_of).save_pretrained(tmp_path)
    model = load(tmp_path, route.badge)
    with apply_plan(loaded.model, plan, inputs_of):
        want_logits, want_tokens = said(loaded.model)
    logits, tokens = said(model)
    assert torch.equal(logits, want_logits)
    assert torch.equal(tokens, want_tokens)
    workload = Workload(visual_tokens=1, text_tokens=1, generated_tokens=1)
    expected = costs(describe_model(tiny_source), plan, workload)
    assert 4 * sum(parameter.numel() for parameter in model.parameters()) == expected.parameter_bytes
    assert (Badge.SPARSE in route.badges) == ("w" in text or "m" in text or ":" in text)
    assert (route.badge is Badge.STOCK) == (text.startswith("{") or text == "..{m2:4}.{m50}.")
