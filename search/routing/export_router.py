"""Exports the router of a run with its plans."""

from collections.abc import Callable
from pathlib import Path

from search.routing.export_request import routed_request
from search.storage.find_run import open_results

Say = Callable[[str], None]


def export_router(
    out: Path, to: Path, storage: str | None, questions: int | None, force: bool, say: Say
) -> list[int | None]:
    """Export the router of a run with its plans, and return the numbers of their trials.

    Args:
        out: folder of the run.
        to: folder to write.
        storage: URL of the database; None for that in the folder.
        questions: number of test questions that check the export; None for all.
        force: True to replace an existing folder.
        say: called with lines for the user.

    Raises:
        RoutingError: the run has no router that can be exported.
        ExportError: the export is not possible; `to` is unchanged.
    """
    from workers.export.folder import check_target

    results = open_results(out, storage)
    try:
        request = routed_request(results, out, questions)
    finally:
        results.close()
    check_target(to.absolute(), force)
    numbers = [trial.number for trial in request.trials]
    say(f"Router of {len(numbers)} plans: trials {', '.join(map(str, numbers))}")

    from workers.export.write_routed import export_routed  # imports torch

    done = export_routed(request, to, force, say)["checked"]
    say(
        f"  reloaded in a fresh process: accuracy {done['accuracy']:.4f} on {done['questions']} questions (in-search "
        f"plans {done['in_search_accuracy']:.4f}), {done['other_answers']} other answers, "
        f"{done['other_plans']} other plans"
    )
    seconds, single = done["seconds"], done["single_trial"]
    say(f"  all questions: {seconds['routed']:.2f} s, with trial {single} alone {seconds['one plan']:.2f} s")
    say(f"Written: {to}")
    return numbers
