"""The lines of a search's log, one per job: words of the form `key=value` that can be searched with grep."""

from search.loop.job import Job
from search.strategies.strategy import Observation
from workers.reports import TrialReport


def trial_line(seen: Observation, reason: str | None, hypervolume: float | None, cost: str = "flops") -> str:
    """Return the line of an ended trial.

    Args:
        seen: the trial.
        reason: why it was stopped or failed.
        hypervolume: hypervolume of the front so far; None before the first finished trial.
        cost: the minimized cost: `flops`, `sparse_flops` or `latency`.
    """
    accuracies = ">".join(f"{accuracy:.3f}" for accuracy in seen.accuracies) or "-"
    why = f" ({reason})" if reason else ""
    volume = "" if hypervolume is None else f" hypervolume={hypervolume:.4f}"
    return (
        f"trial={seen.number} {seen.state}{why} plan={seen.plan} accuracy={accuracies} "
        f"{cost}={seen.flops_ratio:.3f}{volume} by='{seen.origin}'"
    )


def test_line(job: Job, report: TrialReport) -> str:
    """Return the line of an ended test."""
    accuracy = f"{report.rungs[-1].accuracy:.3f}" if report.rungs else f"- ({report.reason})"
    return f"test trial={job.number} seed={job.request.seed} plan={report.plan} test_accuracy={accuracy}"


def now_line(job: Job, rung: int | None = None, accuracy: float | None = None) -> str:
    """Return what a job is doing, for the live view."""
    if job.request.rungs[-1].split == "test":
        return f"now: test of trial {job.number} with seed {job.request.seed}, {job.request.plan}"
    done = "" if rung is None else f", rung {rung} accuracy {accuracy:.3f}"
    return f"now: trial {job.number}{done}, {job.request.plan}"
