"""Costs of plans where they will run: those of the exported folder, and what each route can hold."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from objectives.flops import costs
from objectives.workload import Workload
from spaces.plan import Plan
from tests.fast import but_slow
from tests.spaces.drawn import plans
from tests.workers.export.test_stock_layers import load
from tests.workers.hub import ALL_KINDS, FEW, save_hub
from tests.workers.tiny import inputs, tiny_config, tiny_model
from workers.describe import describe_model
from workers.export.facts_without_weights import read_facts
from workers.export.layer_facts import config_facts
from workers.export.route import ExportError, export_route
from workers.export.route_costs import Deployment, costs_on, misfits, route_ratios
from workers.export.stock_layers import build, facts_of
from workers.models.load_model import load_model
from workers.sources import ModelSource

FACTS = config_facts(tiny_config())
LLAMA = replace(FACTS, text=tiny_config().get_text_config())
LLAMA.text.intermediate_size, LLAMA.text.head_dim = 256, 8
HALVES = st.lists(st.sampled_from(list("...afb")), min_size=4, max_size=4).map("".join).map(Plan.parse)
GENERATED = 3


@given(plan=plans(4, 4) | HALVES, fixed=st.sampled_from([0, 0, 2]), mixable=st.booleans(), silent=st.booleans())
@pytest.mark.parametrize("form", ["transformers", "nemotron-nas"])
def test_a_plan_has_misfits_if_and_only_if_its_export_is_refused(form, plan, fixed, mixable, silent):
    facts = replace(LLAMA, fixed=fixed, mixable=mixable, can_silence=silent)
    try:
        export_route(plan, facts, form)
    except ExportError:
        assert misfits(plan, facts, form) > 0
    else:
        assert misfits(plan, facts, form) == 0


@given(plan=HALVES)
def test_the_plan_that_runs_costs_the_same_and_has_nothing_left_to_undo(plan):
    deployment = Deployment("transformers", FACTS)
    runs = deployment.runs_as(plan)
    assert deployment.runs_as(runs) == runs
    assert runs.num_attention >= plan.num_attention and runs.num_ffn >= plan.num_ffn
    assert runs.num_attention == runs.num_ffn, "a stock layer has both"


@pytest.fixture(scope="module")
def tiny():
    return tiny_model()


@pytest.mark.parametrize("text", ["....", "f...", "fa..", "a.f.", "..bf", "ffaa", "bbbb"])
@pytest.mark.parametrize("form", ["transformers", "remote-code"])
def test_flops_are_those_that_torch_counts_in_the_exported_model(tiny, tiny_source, tmp_path, form, text):
    plan, facts = Plan.parse(text), facts_of(tiny)
    route = export_route(plan, facts, form)
    batch = inputs((6,))
    build(tiny, route).save_pretrained(tmp_path)
    made = load(tmp_path, route.badge)
    made.set_attn_implementation("eager")
    options = {"max_new_tokens": GENERATED, "min_new_tokens": GENERATED, "do_sample": False}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made.generate(**batch, **options)
    visual = int((batch["input_ids"] == tiny.config.image_token_index).sum())
    workload = Workload(
        visual_tokens=visual, text_tokens=batch["input_ids"].shape[1] - visual, generated_tokens=GENERATED
    )
    shape = describe_model(tiny_source)
    assert costs_on(route, shape, workload).flops == counter.get_total_flops()
    as_remote = costs(shape, plan, workload).flops_ratio
    assert route_ratios(shape, plan, workload, facts)["remote-code"] == as_remote


def test_a_route_that_the_model_does_not_have_is_refused():
    with pytest.raises(ExportError, match="nemotron-nas must be a model whose FFN channels are a multiple of 256"):
        Deployment("nemotron-nas", FACTS)


@pytest.mark.parametrize("family", but_slow(ALL_KINDS, FEW))
def test_what_is_known_without_weights_is_what_the_loaded_model_shows(family, tmp_path):
    source = ModelSource(name=save_hub(tmp_path, family), device="cpu")
    early, late = read_facts(source), facts_of(load_model(source).model)
    assert (early.fixed, early.mixable, early.can_silence) == (late.fixed, late.mixable, late.can_silence)
    names = ("model_type", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "hidden_size")
    for name in names:
        assert hasattr(early.text, name) == hasattr(late.text, name)
        assert getattr(early.text, name, None) == getattr(late.text, name, None)
