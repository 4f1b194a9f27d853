"""A run whose trials have answers, latencies and kinds of questions, made without a model."""

from collections.abc import Iterator
from pathlib import Path

from search.loop.open_run import open_run
from search.page.run_facts import RunFacts
from search.settings import Settings
from search.storage.find_run import open_results
from tests.search.loop.test_controller import drive, search
from tests.search.pretend import PretendWorker, problem_of, settings_in
from workers.reports import QuestionRecord, RungReport
from workers.requests import TrialRequest

KINDS = ("color", "digit")
HOSTILE = "</script><img src=x onerror=alert(1)>"
"""What an answer holds; it must be shown as text."""


class Answering(PretendWorker):
    """Answers every question with `yes`, or with hostile text where it is wrong, and measures latencies on test."""

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        for report in super().rungs(request):
            answers = tuple("yes" if score else HOSTILE for score in report.scores)
            asked = None
            if request.plan.is_dense:
                asked = tuple(
                    QuestionRecord(id=f"{report.split}-{i}", image=f"{i}", kind=KINDS[i % 2], question=f"Is {i}?",
                                   accepted=("yes",))
                    for i in range(report.questions)
                )  # fmt: skip
            cost = report.costs["flops_ratio"]
            latency = {"prefill_median": 0.01 * cost, "prefill_iqr": 0.0, "decode_median": 0.002, "decode_iqr": 0.0}
            yield report.model_copy(
                update={
                    "answers": answers, "asked": asked, "latency": latency if report.split == "test" else None,
                    "accuracy_by_kind": dict.fromkeys(KINDS, report.accuracy),
                    "seconds": {"load": 1.0, "tune": float(report.tuning_steps), "evaluate": 2.0},
                }
            )  # fmt: skip


def finished_run(folder: Path) -> Settings:
    """Run a search of 30 trials to its end."""
    settings = settings_in(folder, budget=30, final_seeds=1)
    search(settings, Answering(floor=0.3))
    return settings


def begun_run(folder: Path, budget: int) -> Settings:
    """Run a number of trials of a search without its final test."""
    settings = settings_in(folder, budget=budget, final_seeds=1)
    with open_run(settings, problem_of(settings)) as controller:
        drive(controller, Answering(floor=0.3))
    return settings


def facts_of(settings: Settings) -> RunFacts:
    """The facts of a run, with its database open."""
    return RunFacts(open_results(settings.run_folder, None), "--out RUN")
