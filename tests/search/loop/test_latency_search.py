"""Searches by latency, with a table of times whose predictions are known: limits, front, resumption."""

from dataclasses import replace

import pytest

from objectives.latency import LatencyError, Seconds, TimeTable
from search.analysis.compare import ComparisonError, compare
from search.analysis.latency_notes import latency_notes
from search.analysis.summary import summarize
from search.dispatch.in_process import run_here
from search.dispatch.whole_search import WholeSearch
from search.loop.measured_times import check_place, stored_times
from search.loop.open_run import open_run
from search.settings import Settings
from search.storage.find_run import open_results
from spaces.constraints import UnreachableError
from spaces.plan import Block, Op, Plan
from tests.search.pretend import NUM_BLOCKS, WORKLOAD, PretendWorker, problem_of, settings_in

SAVED = {Op.SKIP_ATTN: 4.0, Op.SKIP_FFN: 1.0, Op.SKIP_BLOCK: 5.0, Op.PARALLEL: 0.5}
"""Milliseconds of a prefill that an op saves: other than its FLOPs, attention takes most of the time."""
PLACE = {"device": "cpu", "processor": "abacus", "threads": 1}
TIMES = TimeTable(
    workload=WORKLOAD,
    vision=0.0,
    dense=Seconds(0.05, 0.01),
    kinds=(0,) * NUM_BLOCKS,
    changes={((0,), Block(op)): Seconds(-saved / 1000, 0.0) for op, saved in SAVED.items()},
    origin=PLACE,
)


def milliseconds(plan: Plan) -> float:
    return 60.0 - sum(SAVED.get(op, 0.0) for op in plan.ops)  # one decode step takes 10 ms


def searched(folder, worker=None, **changes):
    settings = settings_in(folder, minimize="latency", strategy="random", **changes)
    problem = problem_of(settings).timed(TIMES)
    chosen = worker or PretendWorker()
    code = WholeSearch(settings, problem, lambda *running: run_here(*running, chosen)).run()
    assert code == 0
    return settings, open_results(settings.run_folder, None)


def test_the_front_is_of_latency_and_flops_stay_flops(tmp_path):
    _, results = searched(tmp_path / "run", budget=25)
    summary = summarize(results)
    assert summary["cost"] == "latency"
    for trial in [*summary["front"], summary["dense"]]:
        plan = Plan.parse(trial["plan"])
        assert trial["predicted"]["total"] == pytest.approx(milliseconds(plan) / 1000)
        assert trial["cost_ratio"] == pytest.approx(milliseconds(plan) / 60)
        assert trial["flops_ratio"] == pytest.approx(problem_of(settings_in(tmp_path)).ratio(plan))
    changed = [Plan.parse(trial["plan"]) for trial in summary["front"] if trial["flops_ratio"] < 1]
    assert any(milliseconds(plan) / 60 < 0.8 for plan in changed)


class Slow(PretendWorker):
    """Measures on the final test that the machine runs at half the speed of the table."""

    def rungs(self, request):
        total = 2 * milliseconds(request.plan) / 1000
        names = ("total_iqr", "prefill_median", "prefill_iqr", "decode_median", "decode_iqr")
        seconds = {"total_median": total, "dense_total_median": 0.12, **dict.fromkeys(names, 0.001)}
        for report in super().rungs(request):
            yield report.model_copy(update={"latency": seconds}) if report.split == "test" else report


def test_a_timed_plan_is_predicted_from_the_dense_time_beside_it(tmp_path):
    _, results = searched(tmp_path / "run", Slow(), budget=12)
    timed = [trial for trial in summarize(results)["front"] if trial["test"]]
    assert timed
    for trial in timed:
        assert trial["predicted"]["total"] == pytest.approx(milliseconds(Plan.parse(trial["plan"])) / 1000)
        assert trial["predicted"]["beside_dense"] == pytest.approx(trial["test"]["latency"]["total_median"])


@pytest.mark.parametrize("limits", [{"max_latency": "45ms"}, {"max_flops": 0.7}, {"max_memory": "0.2MB"}])
def test_limits_on_any_cost_are_kept_and_the_dense_model_is_off_the_front(tmp_path, limits):
    _, results = searched(tmp_path / "run", **limits)
    front = summarize(results)["front"]
    assert front and all(set(trial["plan"]) != {"."} for trial in front)
    for trial in front:
        assert trial["predicted"]["total"] <= 0.045 or "max_latency" not in limits
        assert trial["flops_ratio"] <= 0.7 or "max_flops" not in limits
        assert trial["memory_bytes"] <= 200_000 or "max_memory" not in limits


def test_latency_limits_a_search_by_flops(tmp_path):
    settings = settings_in(tmp_path / "run", max_latency="50ms")
    problem = problem_of(settings).timed(TIMES)
    WholeSearch(settings, problem, lambda controller, shown: run_here(controller, shown, PretendWorker())).run()
    summary = summarize(open_results(settings.run_folder, None))
    assert summary["cost"] == "FLOPs"
    assert summary["front"] and all(milliseconds(Plan.parse(trial["plan"])) <= 50 for trial in summary["front"])


def test_limits_out_of_reach_and_another_workload_are_refused(tmp_path):
    with pytest.raises(UnreachableError, match=r"--max-latency must be reachable .* the nearest reachable is 2\d ms"):
        problem_of(settings_in(tmp_path, max_latency="1ms")).timed(TIMES)
    other = replace(TIMES, workload=replace(WORKLOAD, batch=2))
    with pytest.raises(ValueError, match="latencies must be of the workload that was measured"):
        problem_of(settings_in(tmp_path, minimize="latency")).timed(other)


def test_a_run_that_continues_reads_its_times_and_stays_in_its_place(tmp_path):
    settings, results = searched(tmp_path / "run", budget=10)
    assert results.run.origin["times"] == TIMES.to_dict()
    assert stored_times(settings, problem_of(settings)) == TIMES
    other = settings_in(tmp_path / "other", minimize="latency")
    assert stored_times(other, problem_of(other)) is None
    check_place(TIMES, PLACE)
    with pytest.raises(LatencyError, match=r"must stay on the processor .*\(abacus\), got slide rule"):
        check_place(TIMES, PLACE | {"processor": "slide rule"})


def test_times_of_a_run_without_results_are_for_the_same_search_only(tmp_path):
    settings = settings_in(tmp_path / "run", minimize="latency")
    with open_run(settings, problem_of(settings).timed(TIMES)):
        pass  # killed before its first rung
    assert stored_times(settings, problem_of(settings)) == TIMES
    wider = settings_in(tmp_path / "run", minimize="latency", space="scoped")
    assert stored_times(wider, problem_of(wider)) is None
    assert stored_times(settings, replace(problem_of(settings), fingerprints={"model": "other"})) is None


def test_runs_on_other_devices_are_not_compared(tmp_path, monkeypatch):
    _, first = searched(tmp_path / "first", budget=5)
    monkeypatch.setitem(TIMES.origin, "device", "gpu")
    _, second = searched(tmp_path / "second", budget=5)
    with pytest.raises(ComparisonError, match="the same device of the measured times"):
        compare(first, second)


@pytest.mark.parametrize("change", [{"workers": 2}, {"ray_address": "auto"}, {"deploy": "nemotron-nas"}])
def test_latency_that_cannot_be_measured_is_refused(change):
    for what in ({"minimize": "latency"}, {"max_latency": "80ms"}):
        with pytest.raises(ValueError, match=r"--minimize latency|--max-latency"):
            Settings.model_validate(what | change)


def trial(number, ratio, speedup, predicted, total=0.01, table=None):
    middle, low, high = speedup
    latency = {"speedup_median": middle, "speedup_low": low, "speedup_high": high, "total_median": total}
    found = {"total": table or predicted, "beside_dense": predicted}
    return {"number": number, "plan": "b.", "flops_ratio": ratio, "predicted": found, "test": {"latency": latency}}


def test_notes_name_wrong_predictions_and_flops_that_save_no_time():
    front = [trial(7, 0.6, (2.0, 1.9, 2.1), 0.0105), trial(8, 0.5, (1.02, 0.97, 1.1), 0.013)]
    found = " ".join(latency_notes(front))
    assert "from measured ones by 17.5%" in found  # errors of 5 and 30 %
    assert "by more than 10%: trial 8 +30%" in found and "busier" not in found
    assert "Trial 8 runs 50.0% of the dense FLOPs" in found
    assert "1.02 x [0.97, 1.10]" in found and "Trial 7" not in found
    assert latency_notes([{**front[0], "predicted": None, "test": None}]) == []


def test_a_prediction_counts_from_the_dense_time_of_the_same_turns():
    """The machine runs at half the speed of the table: the share of the dense time is right, its seconds are not."""
    drifted = trial(7, 0.6, (2.0, 1.9, 2.1), 0.0101, table=0.005)
    (errors, clock) = latency_notes([drifted])
    assert "by 1.0%" in errors and "trial 7" not in errors
    assert "busier or idler" in clock and "50.0%" in clock
