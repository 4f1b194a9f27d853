"""Runs the jobs of a search in this process, one after another. No Ray is imported or started."""

from search.console.progress import Progress
from search.loop.controller import Controller
from workers.requests import TrialRequest
from workers.trial import Worker, run_trial


def opened(request: TrialRequest) -> Worker:
    """Return a worker with the model of a request, so that an unusable model costs no trial.

    Raises ValueError, in one line. What else may go wrong, such as memory that runs out, is told by the first trial.
    """
    worker = Worker()
    try:
        worker.open(request)
    except ValueError:
        raise
    except Exception:
        worker.session = None
    return worker


def run_here(controller: Controller, progress: Progress, worker: Worker | None = None) -> None:
    """Run jobs until the search is finished; the worker keeps its model between them."""
    worker = worker or Worker()
    while not controller.finished:
        job = controller.next()
        if job is None:
            continue  # the last budget went to a proposal that could be ended without running
        progress.started(job)

        def go_on(rung, job=job):  # type: ignore[no-untyped-def]
            progress.rung(job, rung)
            return controller.rung(job, rung)

        report = run_trial(worker, job.request, go_on)
        controller.done(job, report)
        progress.ended(job, report)
