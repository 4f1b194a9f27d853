"""Exports of every family: stock layers where they can, remote code where they can't, equal to the search's model."""

import json
from itertools import product

import pytest
import torch
from transformers import AutoModelForImageTextToText

from spaces.plan import Plan
from tests.fast import but_slow
from tests.workers.export.routes import stock_or_remote
from tests.workers.hub import save_hub
from tests.workers.models.test_families import read, read_in_steps, rows
from tests.workers.whole import case_of, generated
from tests.workers.zoo import FAMILIES, zoo_model
from workers.apply_plan import apply_plan
from workers.data.load_split import SOURCES
from workers.export import modeling_skipsearch
from workers.export.layer_facts import config_facts
from workers.export.request import ExportRequest
from workers.export.route import Badge
from workers.export.stock_layers import build, facts_of
from workers.export.write import export
from workers.requests import Rung, TrialRequest
from workers.sources import DataSource, ModelSource

PLANS = ("..b.", "b..b", ".fa.", "..af", "av.bgf", ".()t.")
BY_REMOTE_CODE = {
    "gemma3": {".fa."},  # its norms after attention and FFN are no part of them
    "qwen3_vl": {"b..b"},  # visual features are added after its first layer
}
QUICK = [("llava", text) for text in PLANS] + [("gemma3", ".fa."), ("qwen3_vl", "b..b")]
"""The fast run has one family whole, and the two that need remote code where others do not."""
MODELS = {}


def model_of(family: str) -> torch.nn.Module:
    if family not in MODELS:
        MODELS[family] = zoo_model(family, "sdpa")
    return MODELS[family]


@pytest.mark.parametrize(("family", "text"), but_slow(product(FAMILIES, PLANS), QUICK))
def test_the_saved_model_computes_what_the_search_did(family, text, tmp_path):
    model, plan = model_of(family), Plan.parse(text)
    route = stock_or_remote(plan, facts_of(model))
    scoped = "(" in text or "v" in text
    assert (route.badge is Badge.REMOTE) == (scoped or text in BY_REMOTE_CODE.get(family, ())), route.notes
    build(model, route).save_pretrained(tmp_path)
    kind = AutoModelForImageTextToText
    if route.badge is Badge.REMOTE:
        kind = getattr(modeling_skipsearch, f"Skipsearch{type(model).__name__}")
    made = kind.from_pretrained(tmp_path, attn_implementation="sdpa", dtype=torch.float32).eval()
    batch = rows()
    got = read(made, *batch), read_in_steps(made, *batch)
    with apply_plan(model, plan):
        want = read(model, *batch), read_in_steps(model, *batch)
    assert torch.equal(got[0], want[0])
    assert torch.equal(got[1], want[1])
    fewer = sum(p.numel() for p in made.parameters()) < sum(p.numel() for p in model.parameters())
    skips = min(plan.num_attention, plan.num_ffn) < len(plan)
    assert fewer == (skips and route.badge is not Badge.ZEROED)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_config_tells_is_what_the_model_shows(family):
    """A plan is refused or accepted alike before and after the weights are read."""
    model = model_of(family)
    early, late = config_facts(model.config), facts_of(model)
    assert (early.fixed, early.why_fixed) == (late.fixed, late.why_fixed)


IMAGES = {
    "mllama": ("b...", "..b.", ".cvf."),
    "qwen3_vl_moe": ("...b", ".p.a", "av..bg"),
    "qwen2_vl": ("b..f", "av.()"),
    "internvl": ("b..f", "av.()"),
    "instructblip": ("b..f", "av.()"),
}


@pytest.mark.parametrize(("family", "text"), [(family, text) for family, texts in IMAGES.items() for text in texts])
def test_generations_about_images(family, text, tmp_path):
    """Up to rounding: where weights lie in memory decides about kernels, and these models were not read from files."""
    case, plan = case_of(family), Plan.parse(text)
    route = stock_or_remote(plan, facts_of(case.model))
    build(case.model, route).save_pretrained(tmp_path)
    kind = AutoModelForImageTextToText
    if route.badge is Badge.REMOTE:
        kind = getattr(modeling_skipsearch, f"Skipsearch{type(case.model).__name__}")
    made = kind.from_pretrained(tmp_path, attn_implementation="eager", dtype=torch.float32).eval()
    if "moe" in family:
        made.set_experts_implementation("eager")
    tokens, logits = generated(made, case.inputs)
    with apply_plan(case.model, plan):
        want_tokens, want = generated(case.model, case.inputs)
    assert torch.equal(tokens, want_tokens)
    torch.testing.assert_close(logits, want, rtol=0, atol=1e-5 * float(want.abs().max()))


@pytest.fixture
def hub_data(monkeypatch):
    monkeypatch.setitem(SOURCES, "hub", "tests.workers.hub:hub_samples")
    return DataSource(name="hub")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["idefics3", "paligemma", "blip-2"])
def test_a_whole_export(family, hub_data, tmp_path):
    """Checked in a process of its own, with its processor, on images."""
    source = ModelSource(name=save_hub(tmp_path / "base", family), device="cpu")
    requests = {
        name: ExportRequest(
            trial=TrialRequest(
                plan=json.loads(Plan.parse(text).to_json()), model=source, data=hub_data,
                rungs=(Rung(split="test"),), threads=1,
            )
        )
        for name, text in {"removed": "..b.", "scoped": "av.b."}.items()
    }  # fmt: skip
    export(requests, tmp_path / "made", say=lambda _: None)
    for name, badge in {"removed": Badge.STOCK, "scoped": Badge.REMOTE}.items():
        record = json.loads((tmp_path / "made" / name / "plan.json").read_text())
        assert record["badge"] == badge
        assert record["checked"]["logits_bit_equal"]
        assert record["checked"]["accuracy"] == record["checked"]["in_search_accuracy"]
        assert record["measured"]["parameters"]["exported"] < record["measured"]["parameters"]["dense"]
