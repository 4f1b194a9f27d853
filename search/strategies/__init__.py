"""The strategies by name: each proposes the next plan from the trials observed so far."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spaces.names import unknown

if TYPE_CHECKING:
    from search.strategies.strategy import Signal, Strategy, Task

PATTERN_SHARE = 0.25
"""Maximum fraction of the budget for hand-made patterns, for strategies without the attribute `pattern_share`."""
STRATEGIES = {
    "guided": "search.strategies.guided.guided:Guided",
    "evolution": "search.strategies.evolution:Evolution",
    "random": "search.strategies.random_search:Random",
    "tpe": "search.strategies.optuna_samplers:TPE",
    "nsga2": "search.strategies.optuna_samplers:NSGA2",
    "gp": "search.strategies.optuna_samplers:GP",
    "interval-grid": "search.strategies.papers.interval_grid:IntervalGrid",
    "greedy": "search.strategies.papers.greedy:Greedy",
    "one-shot": "search.strategies.papers.one_shot:OneShot",
    "additive": "search.strategies.papers.additive:Additive",
    "evopress": "search.strategies.papers.evopress:EvoPress",
    "bandit": "search.strategies.papers.bandit:Bandit",
}
"""Name -> `module:class`; a module is imported when its strategy is loaded."""

ABOUT = {
    "guided": "evolution whose children are ranked by Gaussian processes (default)",
    "evolution": "a sensitivity scan, then children of the Pareto archive",
    "random": "uniform samples of the space",
    "tpe": "Optuna's tree-structured Parzen estimator",
    "nsga2": "Optuna's NSGA-II",
    "gp": "Optuna's Gaussian process",
    "interval-grid": "every k-th block, as in Skipping Computations in Multimodal LLMs",
    "greedy": "one sub-layer after another, as SLEB and BlockPruner",
    "one-shot": "ranked once by block influence, as ShortGPT and ShortV",
    "additive": "additive scores and an integer program, as Puzzle",
    "evopress": "(1 + lambda) evolution with level switches, as EvoPress",
    "bandit": "a bandit over operators, as DAS and EAS",
}
"""One line per strategy."""


def load_strategy(name: str, task: "Task") -> "Strategy":
    """Return the strategy called `name` for a task.

    Raises:
        ValueError: `name` is not in `STRATEGIES`; the message suggests the nearest name.
    """
    strategy: Strategy = _class(name)(task)
    return strategy


def signals_of(name: str) -> "frozenset[Signal]":
    """Return the signals that a strategy reads besides accuracies. Raises ValueError like `load_strategy`."""
    return getattr(_class(name), "reads", frozenset())


def num_patterns_of(name: str, budget: int) -> int:
    """Return `num_patterns` of the strategy called `name`. Raises ValueError like `load_strategy`."""
    return num_patterns(_class(name), budget)


def num_patterns(strategy: object, budget: int) -> int:
    """Return the maximum number of hand-made patterns that are tried before a strategy proposes its first plan.

    The dense plan is counted. The number is `pattern_share * budget`, but at most `most_patterns` of the strategy.
    """
    fit = int(budget * getattr(strategy, "pattern_share", PATTERN_SHARE))
    return min(fit, getattr(strategy, "most_patterns", fit))


def _class(name: str) -> Any:
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    module, attribute = STRATEGIES[name].split(":")
    return getattr(import_module(module), attribute)
