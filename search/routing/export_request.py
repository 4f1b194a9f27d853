"""Builds the request of an export with a router, from the result that `search.route` stored."""

from pathlib import Path
from typing import Any

from search.analysis.export_request import trial_request
from search.analysis.select_trials import Selected
from search.routing.candidates import RoutingError
from search.routing.decisions import LEVEL
from search.routing.store import ROUTER, routed_folder, stored_result
from search.storage.results import Results
from workers.export.routed_request import RoutedRequest


def routed_request(results: Results, out: Path, questions: int | None) -> RoutedRequest:
    """Return the request that exports the router of a run with its plans.

    Args:
        results: results of the run.
        out: folder of the run.
        questions: number of test questions that check the export; None for all.

    Raises:
        RoutingError: the run has no router, its router is not used, or it reads images.
    """
    found = stored_result(results)
    if found is None:
        raise RoutingError(
            f"--routed needs the router of a run, got none in {out}: python -m search.route --out {out} --text-only"
        )
    router = found["router"]
    if not router["used"]:
        raise RoutingError(
            "--routed needs a router that is better than mixing plans at random, got one that is not: export a plan, "
            "for example with --min-retention 0.97"
        )
    if router["inputs"] != "text":
        raise RoutingError(
            f"--routed needs a router on text, got one on {router['inputs']}: python -m search.route --out {out} "
            "--text-only"
        )
    records = {record.trial.number: record for record in results.records()}
    chosen = [records[number] for number in router["trials"]]
    trials = [trial_request(results, Selected(each.plan, each, "one of the router's plans"), out) for each in chosen]
    default = _default(found)
    return RoutedRequest(
        trials=tuple(trials),
        router=str(routed_folder(out).absolute() / ROUTER),
        ratios=tuple(router["ratios"]),
        dial=tuple(found["dial"]),
        default=default,
        single=_single([each.on("search")[-1].accuracy for each in chosen], found["dial"][default]["accuracy"]),
        fingerprints=results.run.origin["fingerprints"],
        questions=questions,
        record={name: found[name] for name in ("run", "seed", "dense", "router", "levels", "hypervolume")},
    )


def _default(found: dict[str, Any]) -> int:
    """Return the index of the cheapest point that keeps `LEVEL`, or that of the last, most accurate one."""
    needed = LEVEL * found["dense"]["search"]
    good = [index for index, point in enumerate(found["dial"]) if point["accuracy"] >= needed]
    return good[0] if good else len(found["dial"]) - 1


def _single(accuracies: list[float], needed: float) -> int:
    """Return the first, cheapest plan that is as accurate as needed, or the last one."""
    good = [index for index, accuracy in enumerate(accuracies) if accuracy >= needed]
    return good[0] if good else len(accuracies) - 1
