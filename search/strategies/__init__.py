"""Strategies by name: each looks at what was observed and proposes the next plan."""

from importlib import import_module
from typing import TYPE_CHECKING

from spaces.names import unknown

if TYPE_CHECKING:
    from search.strategies.strategy import Strategy
    from spaces.spaces import Space

#: name -> `module:class`; nothing is imported until it is asked for.
STRATEGIES = {
    "evolution": "search.strategies.evolution:Evolution",
    "random": "search.strategies.random:Random",
    "tpe": "search.strategies.samplers:TPE",
    "nsga2": "search.strategies.samplers:NSGA2",
}


def load_strategy(name: str, space: "Space", budget: int) -> "Strategy":
    """The strategy called `name` for a space and a budget.

    Raises:
        ValueError: for a name not in `STRATEGIES`, with the nearest one.
    """
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    module, attribute = STRATEGIES[name].split(":")
    strategy: Strategy = getattr(import_module(module), attribute)(space, budget)
    return strategy
