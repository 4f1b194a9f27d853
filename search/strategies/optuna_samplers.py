"""Optuna's samplers as strategies.

A sampler works on a study in memory with one parameter per block. It is not the study in the database, which has fewer,
readable parameters per trial. The study in memory is rebuilt from the history, so that any process can resume the
search.
"""

import math
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from objectives.objectives import MAXIMIZE
from search.strategies.below_floor import DRAWS, BelowFloor
from search.strategies.optuna_parameters import encoding_of
from search.strategies.strategy import Observation, Proposal, Task, focus_above_floor

SHORTFALL = "shortfall"
"""Name of the constraint in the study in memory: minimum accuracy minus the trial's accuracy; satisfied if <= 0."""


def _awaits_floor(history: Sequence[Observation]) -> bool:
    """Return True while the dense trial, which measures the floor, is running."""
    return any(o.plan.is_dense and o.state == "running" for o in history)


class SamplerStrategy:
    """Proposes plans with an Optuna sampler, through the encoding of the space."""

    name: str
    """Origin of its proposals."""

    def __init__(self, task: Task) -> None:
        self._encoding = encoding_of(task.space)
        self._budget, self._focus = task.budget, task.focus
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(directions=["maximize" if up else "minimize" for up in MAXIMIZE])
        self._trials: dict[int, optuna.Trial] = {}
        """Trial of the study in memory, by the number of its observation."""
        self._reported: set[int] = set()
        """Numbers of the observations whose result the study has."""

    def sampler(self, seed: int) -> BaseSampler:
        """Return a new sampler; all state is in the study."""
        raise NotImplementedError

    @property
    def trials(self) -> list[FrozenTrial]:
        """Return the trials of the study in memory."""
        return self._study.trials

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return the plan of the sampler's next parameters."""
        self._study.sampler = self.sampler(int(rng.integers(2**31)))
        hopeless, least = BelowFloor(history, self._focus), focus_above_floor(self._focus, history).min_accuracy
        for observation in history:
            if observation.plan.is_dense or not _awaits_floor(history):
                self._report(observation, least)
        for _ in range(DRAWS):
            proposal = self._draw()
            if not hopeless.holds(proposal.plan):
                break
        return proposal

    def _draw(self) -> Proposal:
        trial = self._study.ask(dict(self._encoding.distributions))
        plan = self._encoding.decode(trial.params)
        # The caller may reject this plan; if it is run, it comes back as an observation.
        self._study.tell(trial, state=TrialState.FAIL)
        return Proposal(plan, self.name)

    def _report(self, observation: Observation, least: float) -> None:
        """Add one observation to the study; a running one is added as running, so that it is not proposed again.

        If `least` is above 0, the trial gets the constraint that its accuracy is at least `least`.
        """
        if observation.number in self._reported:
            return
        if observation.number not in self._trials:
            self._study.enqueue_trial(self._encoding.encode(observation.plan))
            self._trials[observation.number] = self._study.ask(dict(self._encoding.distributions))
        if observation.state == "running":
            return
        trial = self._trials[observation.number]
        if observation.point is None or not all(math.isfinite(value) for value in observation.point):
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            if least > 0:
                trial.set_constraint(SHORTFALL, least - observation.point[0])
            self._study.tell(trial, observation.point)
        self._reported.add(observation.number)


class TPE(SamplerStrategy):
    """Multi-objective, multivariate tree-structured Parzen estimator (Ozaki et al. 2022)."""

    name = "tpe"

    def sampler(self, seed: int) -> BaseSampler:
        return TPESampler(
            seed=seed,
            multivariate=True,
            constant_liar=True,
            n_startup_trials=min(10, self._budget),
        )


class GP(SamplerStrategy):
    """Gaussian process with expected hypervolume improvement; takes seconds per proposal after a hundred trials."""

    name = "gp"

    def sampler(self, seed: int) -> BaseSampler:
        return GPSampler(seed=seed, n_startup_trials=min(10, self._budget))


class NSGA2(SamplerStrategy):
    """NSGA-II (Deb et al. 2002)."""

    name = "nsga2"

    def sampler(self, seed: int) -> BaseSampler:
        return _NSGA2(seed=seed, population_size=max(4, min(50, self._budget // 5)))


class _NSGA2(NSGAIISampler):
    """NSGA-II that also takes plans from elsewhere, such as warm starts, into its population.

    Optuna's sampler assigns a generation only to trials whose parameters it sampled, and ignores all others.
    """

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        super().before_trial(study, trial)
        if "fixed_params" in trial.system_attrs:
            self.get_trial_generation(study, trial)
