"""Optuna's samplers behind our seam.

A sampler works on a study in memory, one parameter a block; the study in the database keeps one row a trial with
few, readable parameters. What is in memory is rebuilt from the history, so a search can be taken up by anybody.
"""

import math
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from objectives.objectives import MAXIMIZE
from search.strategies.optuna_parameters import encoding_of
from search.strategies.strategy import Observation, Proposal, Task


class SamplerStrategy:
    """Asks an Optuna sampler for parameters of the space's encoding."""

    name: str

    def __init__(self, task: Task) -> None:
        self._encoding = encoding_of(task.space)
        self._budget = task.budget
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(directions=["maximize" if up else "minimize" for up in MAXIMIZE])
        self._trials: dict[int, optuna.Trial] = {}
        """Study trial of every observation that has been told or is under way."""
        self._told: set[int] = set()

    def sampler(self, seed: int) -> BaseSampler:
        """Return a fresh sampler; its memory is the study."""
        raise NotImplementedError

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        """Return the sampler's next parameters as a plan."""
        self._study.sampler = self.sampler(int(rng.integers(2**31)))
        for observation in history:
            self._tell(observation)
        trial = self._study.ask(dict(self._encoding.distributions))
        plan = self._encoding.decode(trial.params)
        # Whether this plan is run is the caller's choice; if it is, it comes back as an observation.
        self._study.tell(trial, state=TrialState.FAIL)
        return Proposal(plan, self.name)

    def _tell(self, observation: Observation) -> None:
        """Bring one observation into the study: a running one stays running, so that it is not asked for again."""
        if observation.number in self._told:
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
            self._study.tell(trial, observation.point)
        self._told.add(observation.number)


class TPE(SamplerStrategy):
    """Multi-objective tree-structured Parzen estimator, multivariate (Ozaki et al. 2022)."""

    name = "tpe"

    def sampler(self, seed: int) -> BaseSampler:
        return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=min(10, self._budget))


class GP(SamplerStrategy):
    """Gaussian process with expected hypervolume improvement. Takes seconds an ask after a hundred trials."""

    name = "gp"

    def sampler(self, seed: int) -> BaseSampler:
        return GPSampler(seed=seed, n_startup_trials=min(10, self._budget))


class NSGA2(SamplerStrategy):
    """NSGA-II (Deb et al. 2002)."""

    name = "nsga2"

    def sampler(self, seed: int) -> BaseSampler:
        return _NSGA2(seed=seed, population_size=max(4, min(50, self._budget // 5)))


class _NSGA2(NSGAIISampler):
    """Takes plans that others proposed into its population.

    Optuna's own gives a generation only to trials whose parameters it sampled, and ignores all others.
    """

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        super().before_trial(study, trial)
        if "fixed_params" in trial.system_attrs:
            self.get_trial_generation(study, trial)
