"""Plans of --warm-start: read, checked against the budget, and tried first."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.strategies.replay import Recorded
from objectives.dominance import non_dominated
from objectives.objectives import MAXIMIZE
from search.console.progress import Progress
from search.dispatch.in_process import run_here
from search.loop.open_run import open_run
from search.loop.proposer import Proposer
from search.loop.warm_start import WarmStartError, warm_start
from search.storage.find_run import open_results
from search.strategies import load_strategy
from spaces.plan import Plan
from tests.search.pretend import PretendWorker, problem_of, settings_in
from tests.search.strategies.landscape import task


def written(folder: Path, text: str, name: str = "drop.txt") -> str:
    file = folder / name
    file.write_text(text)
    return str(file)


def test_a_file_of_evopress_says_what_is_left_out(tmp_path: Path) -> None:
    source = written(tmp_path, "none\nattn\nmlp\n\nattn+mlp\nNone\n")
    ((origin, plan),) = warm_start([source], task("layers", num_blocks=5))
    assert str(plan) == ".afb."
    assert origin == "warm start from drop.txt"


@pytest.mark.parametrize(
    ("attention", "ffn"), [([1, 3], [3]), ([False, True, False, True], [False, False, False, True])]
)
def test_a_config_of_llm_drop_lists_layers(tmp_path: Path, attention: list[object], ffn: list[object]) -> None:
    config = {"num_hidden_layers": 4, "drop_attn_list": attention, "drop_mlp_list": ffn}
    source = written(tmp_path, json.dumps(config), "config.json")
    assert [str(plan) for _, plan in warm_start([source], task("layers", num_blocks=4))] == [".a.b"]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("attn\nnone", "a.txt", r"must have plans of 4 blocks, the depth of the model, got 2 in .*a.txt: choose a run"),
        ("attn\nffn\nnone\nnone", "a.txt", r"every line of .* must be one of none, attn, mlp, attn\+mlp, got 'ffn'"),
        ("", "a.txt", "got an empty file"),
        ("{}", "config.json", "must be a config.json of LLM-Drop with num_hidden_layers"),
        ('{"num_hidden_layers": 4, "drop_attn_list": [4], "drop_mlp_list": []}', "config.json", "layer numbers"),
        ("none\nnone\nnone\nnone", "a.txt", "must have a plan of space 'layers' within the limits, got 1 plans in"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, text: str, name: str, message: str) -> None:
    with pytest.raises(WarmStartError, match=message) as refused:
        warm_start([written(tmp_path, text, name)], task("layers", num_blocks=4))
    assert "\n" not in str(refused.value)


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WarmStartError, match=r"must be the folder of a run, .* got 'runs/gone', which does not exist"):
        warm_start(["runs/gone"], task())


def test_plans_outside_of_the_space_or_the_limits_are_left_out(tmp_path: Path) -> None:
    halves = written(tmp_path, "attn\n" * 4)
    with pytest.raises(WarmStartError, match="space 'blocks'"):
        warm_start([halves], task("blocks", num_blocks=4))
    with pytest.raises(WarmStartError, match="within the limits"):
        warm_start([halves], task("layers", num_blocks=4, max_flops=0.5))


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = settings_in(tmp_path_factory.mktemp("runs") / "earlier", budget=40, strategy="random")
    with open_run(settings, problem_of(settings)) as controller, Progress(controller, 40) as progress:
        run_here(controller, progress, PretendWorker())
    return settings.run_folder


def test_of_a_run_the_front_comes_first_and_a_share_of_the_budget_bounds_it(earlier: Path) -> None:
    results = open_results(earlier, None)
    full = [record for record in results.records() if record.trial.state == "complete"]
    results.close()
    points = [(record.on("search")[-1].accuracy, record.on("search")[-1].flops_ratio) for record in full]
    front = {full[row].trial.plan for row in np.flatnonzero(non_dominated(points, MAXIMIZE))}
    depth = len(Plan.parse(full[0].trial.plan))
    wanted = task("layers", num_blocks=depth, budget=1000)
    plans = [str(plan) for _, plan in warm_start([str(earlier)], wanted)]
    own = front - {"." * depth}
    assert set(plans[: len(own)]) == own
    assert set(plans) <= {record.trial.plan for record in full}
    assert len(warm_start([str(earlier)], replace(wanted, budget=4))) == 1, (
        "what a user names is not dropped in silence"
    )
    few = warm_start([str(earlier), f"sqlite:///{earlier / 'search.db'}"], replace(wanted, budget=30))
    assert len(few) == 3
    assert [str(plan) for _, plan in few] == plans[:3]


def test_they_are_tried_right_after_the_dense_plan() -> None:
    first = tuple(("warm start from x", Plan.parse(text)) for text in ("ab..........", "..f........b"))
    wanted = replace(task("layers"), first=first)
    proposer, recorded = Proposer(load_strategy("random", wanted), wanted), Recorded()
    proposals = []
    for _ in range(4):
        proposals.append(proposer.next(recorded))
        recorded.plans.add(proposals[-1].plan)
    assert proposals[0].plan.is_dense
    assert [(p.origin, p.plan) for p in proposals[1:3]] == list(first)
    assert proposals[3].origin.startswith("baseline")
