"""`python -m search.route` on a small run of the embedded model, against numbers computed from its stored files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from objectives.routing import PRICES
from search.export import app as export
from search.loop.problem import Problem
from search.route import app
from search.routing.route import route
from search.routing.store import RESULT, ROUTER, routed_folder, stored_result
from search.settings import Settings
from search.storage.find_run import open_results
from search.storage.results import Results
from search.storage.run_id import write_run_id
from spaces.plan import Plan
from tests.command import call
from workers.requests import Rung
from workers.routing.questions import read_questions
from workers.routing.router import Router
from workers.sources import DataSource
from workers.trial import Worker

PLANS = ("." * 12, "..aff.ff.fb.", ".fabffffbfba", "fbabfbfbbbbb")
DATA = DataSource(limit=96)


@pytest.fixture(scope="module")
def run(unrouted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run that may get a router."""
    return Path(shutil.copytree(unrouted, tmp_path_factory.mktemp("copy") / "demo"))


@pytest.fixture(scope="module")
def unrouted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four untuned plans on 96 questions per split, of which the last two were not tested."""
    folder = tmp_path_factory.mktemp("routed") / "demo"
    folder.mkdir()
    problem = Problem.resolve(Settings(budget=4, out=folder, dataset=DATA, rungs=(Rung(),), threads=1))
    results = Results.create(
        problem.settings.storage_url, "1" * 32, "demo", problem.settings.model_dump(mode="json"), problem.describe()
    )
    write_run_id(folder, "1" * 32)
    worker = Worker()
    for number, text in enumerate(PLANS):
        request = problem.request(number, Plan.parse(text))
        results.start_trial(number, request, origin="by hand", attempt=1)
        rungs = (*request.rungs, Rung(split="test")) if number < 2 else request.rungs
        for rung in worker.rungs(request.model_copy(update={"rungs": rungs})):
            results.add_rung(number, rung, rung.costs["flops_ratio"])
        results.end_trial(number, "complete", None, None)
    results.close()
    return folder


@pytest.mark.slow
def test_the_stored_router_gives_the_stored_numbers(run: Path) -> None:
    """The reference decides with the stored router and answers with a worker of its own."""
    done = call(app, "--out", run, "--plans", "3", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads((routed_folder(run) / RESULT).read_text())
    assert found == json.loads(done.stdout)
    assert found["questions"] == {"search": 96, "test": 96, "train": 96}
    router, trials = Router.of(load_file(routed_folder(run) / ROUTER)), found["router"]["trials"]
    results = open_results(run, None)
    assert stored_result(results) == found
    routed = route(results, run, plans=3, say=lambda line: None)
    requests = {each.number: each.request for each in routed.candidates.plans}
    results.close()
    worker = Worker()
    scores = np.array([next(worker.rungs(requests[trial])).scores for trial in trials]).T
    assert worker.session is not None
    known = read_questions(worker.session.loaded, worker.session.split("test"))
    text = known.text if found["router"]["inputs"] == "text" else np.hstack([known.text, known.image])
    expected = router.expected(torch.from_numpy(text)).numpy()
    for price, (accuracy, _) in zip(PRICES, routed.routed("test").points, strict=True):
        picks = np.argmax(expected - price * np.array(found["router"]["ratios"]), axis=1)
        assert accuracy == pytest.approx(scores[np.arange(96), picks].mean())


@pytest.mark.slow
def test_plans_per_kind_need_no_router(run: Path) -> None:
    done = call(app, "--out", run, "--per-kind", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["router"] is None
    results = open_results(run, None)
    stored = {record.trial.number: record.on("search")[-1] for record in results.records()}
    results.close()
    for point in found["adaptive"]:
        assert point["search"]["accuracy"] == stored[point["trial"]].accuracy
        assert point["search"]["flops_ratio"] == pytest.approx(stored[point["trial"]].flops_ratio, 0.01)


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"minimize": "sparse_flops"}, "minimized flops, got sparse_flops"), ({"min_accuracy": 1.0}, "at least 2 plans")],
)
def test_a_run_with_nothing_to_route_between_is_refused(
    unrouted: Path, tmp_path: Path, changed: dict, told: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(unrouted, copy)
    results = open_results(copy, None)
    results.update_settings(results.run.settings | changed)
    results.close()
    done = call(app, "--out", copy)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not routed_folder(copy).exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--routed needs the router of a run, got none"),
        (("--format", "gguf"), "--format does not apply to --routed"),
        (("--knee",), "exactly one of"),
    ],
)
def test_an_export_without_a_router_is_refused(
    unrouted: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(unrouted, copy)
    done = call(export, "--out", copy, "--routed", "--to", tmp_path / "model", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_router_that_is_not_used_or_reads_images_is_not_exported(run: Path, tmp_path: Path) -> None:
    assert call(app, "--out", run, "--plans", "3", "--text-only").returncode == 0
    results = open_results(run, None)
    found = stored_result(results)
    assert found is not None and found["router"]["inputs"] == "text"
    for changed, told in (
        ({"used": False}, "better than mixing plans at random"),
        ({"used": True, "inputs": "text and image"}, "--text-only"),
    ):
        results.keep_routing(found | {"router": found["router"] | changed}, {})
        done = call(export, "--out", run, "--routed", "--to", tmp_path / "model")
        assert done.returncode == 2
        assert told in done.stderr
    results.keep_routing(found | {"schema_version": 0}, {})
    results.close()
    done = call(export, "--out", run, "--routed", "--to", tmp_path / "model")
    assert "must be of version 1, got 0" in done.stderr
