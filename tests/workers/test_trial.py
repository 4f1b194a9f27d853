"""A trial runs its rungs, reports a failure as data, and restores the model."""

import json
import threading
import time

import pytest
import torch
from safetensors.torch import load_file

from objectives.flops import costs
from objectives.metrics import scores
from objectives.workload import Workload
from spaces.plan import Plan, PlanError
from workers import rungs as climbing
from workers.describe import describe_model
from workers.evaluation.evaluate import Evaluation
from workers.inference.check_finite import NonFinite
from workers.models.trainable import put_state
from workers.reports import TrialReport, TrialState
from workers.requests import Rung, TrialRequest, TuningRecipe
from workers.sources import DataSource
from workers.trial import TrialRun, Worker, run_trial
from workers.watchdog import TrialTimeout, Watchdog

RUNGS = (Rung(questions=6), Rung(tuning_steps=2, questions=12), Rung(tuning_steps=6))
RECIPE = TuningRecipe(images_per_step=3, questions_per_image=2, learning_rate=5e-3)


@pytest.fixture(scope="module")
def worker():
    return Worker()


@pytest.fixture
def make(tiny_source):
    def request(plan: str = "a..p", **changes):
        values = {
            "plan": json.loads(Plan.parse(plan).to_json()),
            "model": tiny_source,
            "data": DataSource(name="tiny"),
            "tuning": RECIPE,
            "rungs": RUNGS,
            "threads": 1,
        }
        return TrialRequest(**{**values, **changes})

    return request


def always(rung):
    return True


def numbers(report):
    """A report without its clock."""
    return [rung.model_copy(update={"seconds": {}, "latency": None}) for rung in report.rungs]


def untouched(worker):
    model = worker.session.loaded.model
    state = worker.session.loaded.weights
    assert not any("forward" in vars(module) for module in model.modules())
    assert all(torch.equal(state[name], tensor) for name, tensor in worker.session.dense.items())


class TestRungs:
    def test_a_whole_trial(self, worker, make):
        report = run_trial(worker, make(number=12), always)
        assert (report.state, report.reason, report.plan, report.number) == (TrialState.COMPLETE, None, "a..p", 12)
        assert [rung.questions for rung in report.rungs] == [6, 12, 24]
        assert [len(rung.scores) for rung in report.rungs] == [6, 12, 24]
        assert [rung.tune_accuracy is None for rung in report.rungs] == [True, False, False]
        assert report.origin["fingerprints"].keys() == {"model", "data"}
        assert report.origin["threads"] == 1
        untouched(worker)
        assert TrialReport.model_validate_json(report.model_dump_json()) == report

    @pytest.mark.parametrize("first", [1, 2])
    def test_a_trial_that_goes_on_later_scores_what_it_would_have(self, worker, make, first):
        whole = run_trial(worker, make(), always)
        run_trial(worker, make("bb.f"), always)
        later = run_trial(worker, make(first_rung=first), always)
        assert numbers(later) == numbers(whole)[first:]
        assert [rung.rung for rung in later.rungs] == list(range(first, 3))
        assert later.state is TrialState.COMPLETE
        stopped = run_trial(worker, make(first_rung=1), lambda rung: False)
        assert (stopped.state, stopped.reason) == (TrialState.STOPPED, "stopped after 2 of 3 rungs")
        untouched(worker)

    def test_a_first_rung_must_be_there(self, make):
        with pytest.raises(ValueError, match="first_rung must be one of the 3 rungs, got 3"):
            make(first_rung=3)

    def test_the_same_request_gives_the_same_numbers(self, worker, make):
        once = run_trial(worker, make(), always)
        run_trial(worker, make("bb.f", seed=5), always)
        assert numbers(run_trial(worker, make(), always)) == numbers(once)
        assert numbers(run_trial(Worker(), make(), always)) == numbers(once)

    def test_costs_are_those_of_the_closed_form(self, worker, make, tiny_source):
        workload = {"visual_tokens": 4, "text_tokens": 7, "generated_tokens": 3}
        (rung, *_) = run_trial(worker, make(workload=workload), always).rungs
        shape = describe_model(tiny_source)
        wanted = costs(shape, Plan.parse("a..p"), Workload.from_dict(workload)).as_dict()
        assert {name: rung.costs[name] for name in wanted} == wanted

    def test_closing_between_rungs_restores_the_model(self, worker, make):
        rungs = worker.rungs(make("afpb"))
        next(rungs)
        assert any("forward" in vars(module) for module in worker.session.loaded.model.modules())
        rungs.close()
        untouched(worker)

    def test_go_on_sees_every_rung_and_can_stop(self, worker, make):
        seen = []
        report = run_trial(worker, make(), lambda rung: seen.append(rung.rung) or rung.rung < 1)
        assert (report.state, seen) == (TrialState.STOPPED, [0, 1])
        assert report.reason == "stopped after 2 of 3 rungs"
        untouched(worker)
        report = run_trial(worker, make(), lambda rung: rung.rung < 2)
        assert report.state == TrialState.COMPLETE, "after the last rung there is nothing to stop"

    def test_errors_of_the_caller_are_not_the_trials(self, worker, make):
        with pytest.raises(KeyError):
            run_trial(worker, make(), lambda rung: {}["missing"])
        untouched(worker)

    def test_rung_by_rung(self, worker, make):
        run = TrialRun(worker, make())
        assert (run.report().state, run.report().rungs, run.ended) == (TrialState.STOPPED, (), False)
        assert run.next().rung == 0
        assert (run.report().state, len(run.report().rungs)) == (TrialState.STOPPED, 1)
        assert (run.next().rung, run.next().rung, run.next(), run.ended) == (1, 2, None, True)
        untouched(worker)
        assert numbers(run.report()) == numbers(run_trial(worker, make(), always))

    def test_latency_is_measured_where_asked(self, worker, make):
        (rung,) = run_trial(worker, make(rungs=(Rung(questions=2, latency=True),)), always).rungs
        assert {"prefill_median", "decode_iqr", "total_median", "speedup_low", "dense_prefill_iqr"} < set(rung.latency)
        assert min(rung.latency.values()) >= 0 < rung.latency["prefill_median"]


class TestTuning:
    @pytest.fixture
    def judged(self, monkeypatch, worker, make):
        """Set the results of the tune split before tuning and after each tuned rung.

        Returns a list that gets, for every evaluation of the search split, whether it saw the dense module.
        """
        session = worker.load(make())
        real, saw_dense, verdicts = climbing.evaluate, [], []

        def evaluate(loaded, prepared, *args):
            if prepared is session.split("tune"):
                return Evaluation(answers=(), scores=(verdicts.pop(0),), kinds=())
            state = loaded.weights
            saw_dense.append(all(torch.equal(state[name], tensor) for name, tensor in session.dense.items()))
            return real(loaded, prepared, *args)

        def install(*accuracies: float) -> list[bool]:
            verdicts[:] = accuracies
            monkeypatch.setattr(climbing, "evaluate", evaluate)
            return saw_dense

        return install

    def test_the_tuned_module_is_kept_where_it_is_better(self, worker, make, judged, tmp_path):
        saw_dense = judged(0.4, 0.3, 0.5)
        folder = tmp_path / "artifacts"
        _, first, last = run_trial(worker, make(number=12, artifacts=str(folder)), always).rungs
        assert (first.tuned, first.tune_accuracy, first.artifact) == (False, (0.4, 0.3), None)
        assert (last.tuned, last.tune_accuracy, last.artifact) == (True, (0.4, 0.5), "trial-000012.safetensors")
        assert saw_dense == [True, True, False]
        stored = load_file(folder / last.artifact)
        assert stored.keys() == worker.session.dense.keys()
        assert not any(torch.equal(stored[name], tensor) for name, tensor in worker.session.dense.items())
        untouched(worker)

    def test_where_it_is_no_better_the_dense_one_is_evaluated_and_nothing_stored(self, worker, make, judged, tmp_path):
        saw_dense = judged(0.5, 0.6, 0.5)
        _, first, last = run_trial(worker, make(artifacts=str(tmp_path / "none")), always).rungs
        assert (first.tuned, first.artifact, last.tuned, last.artifact) == (True, None, False, None)
        assert saw_dense == [True, False, True]
        assert not (tmp_path / "none").exists()

    @pytest.mark.parametrize("after_first", [0.1, 0.9], ids=["rejected", "kept"])
    def test_tuning_goes_on_from_where_it_was(self, worker, make, judged, tmp_path, after_first):
        files = []
        for name, rungs, verdicts in (("both", RUNGS, (0.4, after_first, 0.5)), ("one", RUNGS[2:], (0.4, 0.5))):
            judged(*verdicts)
            request = make(rungs=rungs, artifacts=str(tmp_path / name), number=1)
            *_, last = run_trial(worker, request, always).rungs
            files.append(load_file(tmp_path / name / last.artifact))
        assert all(torch.equal(files[0][key], files[1][key]) for key in files[0])

    def test_the_stored_module_gives_the_reported_scores(self, worker, make, judged, tmp_path):
        judged(0.4, 0.5, 0.5)
        *_, last = run_trial(worker, make(artifacts=str(tmp_path), number=3), always).rungs
        session = worker.session
        put_state(session.loaded.weights, load_file(tmp_path / last.artifact))
        try:
            with climbing.apply_plan(session.loaded.model, Plan.parse("a..p")):
                again = climbing.evaluate(session.loaded, session.split("search"), "exact_match")
        finally:
            session.make_dense()
        assert again.scores == last.scores


class TestFailures:
    def failing(self, monkeypatch, error, at=1):
        calls = []
        real = climbing.evaluate

        def evaluate(*args):
            calls.append(args)
            if len(calls) > at:
                raise error
            return real(*args)

        monkeypatch.setattr(climbing, "evaluate", evaluate)

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (RuntimeError("boom\n  twice"), "RuntimeError: boom twice"),
            (NonFinite("logits must be finite, got NaN"), "NonFinite: logits must be finite, got NaN"),
            (torch.OutOfMemoryError("CUDA out of memory"), "out of memory: CUDA out of memory"),
            (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory: Default"),
            (MemoryError(), "out of memory"),
        ],
    )
    def test_an_exception_is_the_reason(self, worker, make, monkeypatch, error, reason):
        self.failing(monkeypatch, error)
        report = run_trial(worker, make(), always)
        assert report.state == TrialState.FAILED
        assert report.reason.startswith(reason)
        assert len(report.rungs) == 1, "what was finished is kept"
        untouched(worker)

    def test_nan_in_the_weights_is_found(self, worker, make):
        worker.load(make())
        norm = worker.session.loaded.model.model.language_model.norm.weight
        kept = norm[0].item()
        try:
            norm[0] = float("nan")
            report = run_trial(worker, make(), always)
        finally:
            norm[0] = kept
        assert report.reason == "NonFinite: logits must be finite, got NaN or infinity"
        assert run_trial(worker, make(), always).state == TrialState.COMPLETE

    def test_a_hanging_trial_is_ended(self, worker, make, monkeypatch):
        worker.load(make())
        monkeypatch.setattr(climbing, "evaluate", lambda *args: time.sleep(60))
        start = time.monotonic()
        report = run_trial(worker, make(time_limit=0.3), always)
        assert time.monotonic() - start < 5
        assert report.reason.startswith("TrialTimeout: the trial must end within its time limit of 0.3 s")
        untouched(worker)

    def test_interrupts_pass_through_and_restore(self, worker, make, monkeypatch):
        worker.load(make())
        self.failing(monkeypatch, KeyboardInterrupt(), at=0)
        with pytest.raises(KeyboardInterrupt):
            run_trial(worker, make(), always)
        untouched(worker)

    def test_mistakes_of_the_user_are_raised_by_load(self, worker, make):
        with pytest.raises(PlanError, match="as many blocks as the model, 4, got 3"):
            worker.load(make("..."))
        with pytest.raises(ValueError, match="tuning_steps must not decrease"):
            worker.load(make(rungs=(Rung(tuning_steps=5), Rung())))
        with pytest.raises(ValueError, match="unknown data set"):
            worker.load(make(data=DataSource(name="tyni")))
        assert run_trial(worker, make("..."), always).state == TrialState.FAILED


class TestWatchdog:
    def test_only_time_inside_counts(self):
        watchdog = Watchdog(0.2)
        with watchdog:
            pass
        time.sleep(0.3)
        with watchdog:
            pass
        with pytest.raises(TrialTimeout), watchdog:
            time.sleep(5)
        with pytest.raises(TrialTimeout), watchdog:
            pass

    def test_no_limit(self):
        with Watchdog(None):
            pass

    def test_a_timer_of_somebody_else_comes_back(self):
        import signal

        rang = []
        handler = signal.signal(signal.SIGALRM, lambda *args: rang.append(1))
        before = signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            with Watchdog(10):
                pass
            time.sleep(0.5)
            assert rang == [1]
        finally:
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, *before)

    def test_in_another_thread_it_bites_between_stretches(self):
        caught = []

        def work():
            watchdog = Watchdog(0.05)
            with watchdog:
                time.sleep(0.1)
            try:
                with watchdog:
                    pass
            except TrialTimeout as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert len(caught) == 1


@pytest.mark.parametrize("plan", ["....", "a..p"])
def test_a_rung_reports_what_was_answered_and_the_dense_plan_what_was_asked(worker, make, plan):
    report = run_trial(worker, make(plan), always)
    samples = worker.session.split("search").samples
    for rung in report.rungs:
        accepted = [sample.answers for sample in samples[: rung.questions]]
        assert len(rung.answers) == rung.questions
        assert tuple(scores("exact_match", rung.answers, accepted)) == rung.scores
        if plan != "....":
            assert rung.asked is None
            continue
        assert [each.id for each in rung.asked] == [f"search-{index}" for index in range(rung.questions)]
        assert [each.accepted for each in rung.asked] == accepted
        assert [each.question for each in rung.asked] == [sample.question for sample in samples[: rung.questions]]
    assert TrialReport.model_validate_json(report.model_dump_json()) == report
