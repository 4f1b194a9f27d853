"""Runs the jobs of a search in this process, one after another, without Ray."""

from search.console.progress import Progress
from search.loop.controller import Controller
from workers.requests import TrialRequest
from workers.trial import Worker, run_trial


def opened(request: TrialRequest) -> Worker:
    """Return a worker that has loaded the model of a request, so that an unusable model is found before any trial.

    If loading fails for another reason, such as lack of memory, the first trial loads again and reports the error.

    Raises:
        ValueError: the model can't be used; one line for the user.
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
    """Run jobs until the search is finished.

    Args:
        controller: provides the jobs and receives their reports.
        progress: displays the jobs.
        worker: keeps its model between jobs; by default a new one.
    """
    worker = worker or Worker()
    while not controller.finished:
        job = controller.next()
        if job is None:
            continue  # the last trial of the budget ended without running
        progress.started(job)

        def go_on(rung, job=job):  # type: ignore[no-untyped-def]
            progress.rung(job, rung)
            return controller.rung(job, rung)

        report = run_trial(worker, job.request, go_on)
        controller.done(job, report)
        progress.ended(job, report)
