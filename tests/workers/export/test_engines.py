"""Exports in engines that have code of their own: log-probabilities are those of the in-search model."""

import importlib.util
import json

import pytest
from safetensors.torch import load_file, save_file

from spaces.plan import Plan
from tests.fast import but_slow
from tests.workers.export.engine_departures import DEPARTURES, departing
from tests.workers.export.engine_models import OneProcess, base_of, run_plan
from tests.workers.hub import hub_samples
from workers.export.engines.engines import ENGINES, engines_for, run_engine
from workers.export.layer_facts import config_facts
from workers.export.route import export_route
from workers.export.stock_layers import facts_of
from workers.export.write import save_model
from workers.pruning.inputs import PruningInputs

PLANS = ("..b.", ".fa.", "f...")
FAMILIES = ("llava", "llava_onevision", "qwen2_vl", "idefics3", "smolvlm", "paligemma")
"""Families that mlx-vlm reads in the form of published checkpoints; docs/deploy.md has all that were tried."""

needs = {
    name: pytest.mark.skipif(
        importlib.util.find_spec(engine.module) is None, reason=f"{engine.package} is not installed"
    )
    for name, engine in ENGINES.items()
}


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return base_of("llava", tmp_path_factory.mktemp("models") / "llava")


@pytest.fixture(scope="module")
def start():
    process = OneProcess()
    yield process
    process.close()


@needs["mlx-vlm"]
@pytest.mark.parametrize("family", but_slow(FAMILIES, []))
def test_mlx_vlm_with_an_image(family, start, tmp_path):
    source, loaded = base_of(family, tmp_path / "base")
    for number, text in enumerate(PLANS):
        ran = run_plan("mlx-vlm", text, source, loaded, tmp_path / str(number), start)
        assert ran is not None, text
        assert ran.error is None, text
        assert ran.largest_difference < 1e-3, text  # float32, other kernels
        assert ran.agrees


@needs["mlx-vlm"]
@pytest.mark.slow
@pytest.mark.parametrize("family", DEPARTURES)
def test_where_mlx_vlm_differs_it_reads_the_dense_model_otherwise(family, start, tmp_path):
    source, loaded = base_of(family, tmp_path / "base")
    ran = run_plan("mlx-vlm", "....", source, loaded, tmp_path / "dense", start)
    assert ran is not None and ran.error is None and not ran.agrees
    with departing(loaded.model, family):
        known = run_plan("mlx-vlm", "....", source, loaded, tmp_path / "departing", start)
    assert known is not None and known.agrees, "the engine changed: write the table of docs/deploy.md again"


@needs["mlx-vlm"]
def test_a_wrong_weight_is_told(llava, start, tmp_path):
    source, loaded = llava
    route = export_route(Plan.parse("..b."), facts_of(loaded.model))
    save_model(loaded.model, route, tmp_path / "made", source)
    state = load_file(tmp_path / "made" / "model.safetensors")
    state["language_model.model.layers.1.mlp.down_proj.weight"] *= 1.1
    save_file(state, tmp_path / "made" / "model.safetensors")
    ran = run_engine("mlx-vlm", tmp_path / "made", route, loaded, PruningInputs(), hub_samples("test"), start)
    assert ran.error is None
    assert ran.largest_difference > 0.003
    assert not ran.agrees


def test_the_config_has_the_form_of_the_base(llava, tmp_path):
    """With what the plan changes, and nothing else."""
    source, loaded = llava
    save_model(loaded.model, export_route(Plan.parse("..bb"), facts_of(loaded.model)), tmp_path / "made", source)
    base = json.loads((tmp_path / "made" / "config.json").read_text())
    assert base["text_config"].pop("num_hidden_layers") == 2
    with open(f"{source.name}/config.json") as file:
        want = json.load(file)
    del want["text_config"]["num_hidden_layers"]
    assert base == want


@pytest.mark.slow
def test_engines_are_chosen_by_form(llava):
    plan, facts = Plan.parse("..b."), config_facts(llava[1].model.config)
    with pytest.raises(ValueError, match=r"engine.*mlx-wlm"):
        engines_for(("mlx-wlm",), export_route(plan, facts))
    assert engines_for((), export_route(plan, facts)) == []
    assert engines_for(("auto",), export_route(plan, facts, "remote-code")) == []
