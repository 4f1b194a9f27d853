"""Comparison with optimizers of other packages: `python -m benchmarks.peers`, after `pip install -e '.[peers]'`.

Each peer searches through its own interface, with FLOPs as a second objective, and begins with the plans that `guided`
begins with. The distinct plans it evaluates count as trials, with their accuracy at the last rung. Results are stored
in `benchmarks/data/peers.json`, one per search. A peer is skipped if its package is missing.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from benchmarks.origin import heading
from benchmarks.peers.evaluations import BudgetSpentError, Evaluations
from benchmarks.strategies.cells import open_table
from benchmarks.truth.enumerated import DATA
from spaces.names import unknown
from workers.software import commit

STORE = DATA / "peers.json"
"""File of the results: landscape -> peer -> seed -> budget -> share."""
Run = Callable[[Evaluations, int], None]


def _call(module: str, package: str, arguments: Callable[[Evaluations, int], tuple[Any, ...]]) -> tuple[str, Run]:
    """Return the package of a peer and the function that runs it; the package is imported at the first call."""

    def run(evaluations: Evaluations, budget: int) -> None:
        import_module(f"benchmarks.peers.{module}").run(evaluations, *arguments(evaluations, budget))

    return package, run


PEERS: dict[str, tuple[str, Run]] = {
    "pymoo-nsga2-10": _call("pymoo_peers", "pymoo", lambda evaluations, budget: ("nsga2", 10)),
    "pymoo-nsga2-20": _call("pymoo_peers", "pymoo", lambda evaluations, budget: ("nsga2", 20)),
    "pymoo-sms-10": _call("pymoo_peers", "pymoo", lambda evaluations, budget: ("sms", 10)),
    "pymoo-sms-20": _call("pymoo_peers", "pymoo", lambda evaluations, budget: ("sms", 20)),
    "synetune-evolution-10": _call("synetune_peer", "syne_tune", lambda evaluations, budget: (10,)),
    "synetune-evolution-20": _call("synetune_peer", "syne_tune", lambda evaluations, budget: (20,)),
    "smac-parego": _call("smac_peer", "smac", lambda evaluations, budget: (budget,)),
    "botorch-qlognehvi": _call("botorch_peer", "botorch", lambda evaluations, budget: (evaluations.space,)),
}
"""Name -> package that must be installed, and the function that runs the peer."""


def main(
    landscapes: Annotated[str, typer.Option(help="Names of landscapes, separated by commas.")] = "blocks12,heldout12",
    peers: Annotated[str, typer.Option(help="Names, separated by commas.")] = ",".join(PEERS),
    budgets: Annotated[str, typer.Option(help="Trials, separated by commas.")] = "25,50,100,200",
    seeds: Annotated[int, typer.Option(help="Searches per peer.")] = 3,
) -> None:
    """Run peers and add their shares to the stored ones."""
    print(heading("Peers", landscapes=landscapes, budgets=budgets, seeds=seeds))
    sizes = sorted(map(int, budgets.split(",")))
    for name in peers.split(","):
        if name not in PEERS:
            raise typer.BadParameter(str(unknown("peers", name, PEERS)))
        if find_spec(PEERS[name][0]) is None:
            print(f"{name}: left out, package {PEERS[name][0]} is not installed")
            continue
        for landscape in landscapes.split(","):
            for seed in range(seeds):
                shares, seconds = search(name, landscape, sizes, seed)
                _keep(landscape, name, seed, dict(zip(map(str, sizes), shares, strict=True)))
                shown = " ".join(f"{share:.4f}" for share in shares)
                print(f"{landscape:16} {name:22} seed {seed}: {shown}  {seconds:.0f} s", flush=True)


def search(peer: str, landscape: str, budgets: list[int], seed: int) -> tuple[list[float], float]:
    """Run one search of a peer.

    Args:
        peer: name in `PEERS`.
        landscape: name of the table.
        budgets: numbers of trials, rising.
        seed: seed of the search.

    Returns:
        The share of the exact hypervolume after each number of trials, and the CPU seconds of the search.
    """
    start = time.process_time()
    evaluations = Evaluations(open_table(landscape), budgets[-1], seed)
    with suppress(BudgetSpentError):
        PEERS[peer][1](evaluations, budgets[-1])
    return [round(share, 5) for share in evaluations.shares(budgets)], time.process_time() - start


def load() -> dict[str, Any]:
    """Return all stored results."""
    stored: dict[str, Any] = json.loads(STORE.read_text()) if STORE.exists() else {}
    return stored


def _keep(landscape: str, peer: str, seed: int, shares: dict[str, float]) -> None:
    store = load()
    place = store.setdefault(landscape, {}).setdefault(peer, {"share": {}})
    place["commit"] = commit()
    place["share"].setdefault(str(seed), {}).update(shares)
    STORE.write_text(json.dumps(store, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
