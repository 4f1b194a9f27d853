"""qLogNEHVI of BoTorch: a Gaussian process for the accuracy of one-hot plans, and FLOPs as a deterministic model."""

import numpy as np
import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelList, SingleTaskGP
from botorch.models.deterministic import GenericDeterministicModel
from botorch.optim import optimize_acqf_discrete
from botorch.sampling.normal import SobolQMCNormalSampler
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

from benchmarks.peers.evaluations import Evaluations
from search.strategies.guided.children import children
from search.strategies.plan_bits import CODE, Codes
from spaces.spaces import Space

INITIAL = 10
"""Plans before the first model: the start, then samples."""
CANDIDATES = 400
"""Plans near the tried ones, and samples, among which the acquisition function is maximized."""


def run(evaluations: Evaluations, space: Space) -> None:
    """Run the optimizer until `BudgetSpentError`."""
    torch.manual_seed(evaluations.seed)
    rng = np.random.default_rng(evaluations.seed)
    samples = evaluations.coding.encode([space.sample(rng) for _ in range(INITIAL - len(evaluations.start))])
    codes = np.unique(np.concatenate([evaluations.start, samples]), axis=0)
    losses = evaluations.losses(codes)
    while True:
        code = _next(evaluations, space, codes, losses, rng)
        losses = np.concatenate([losses, evaluations.losses(code)])
        codes = np.concatenate([codes, code])


def _next(evaluations: Evaluations, space: Space, codes: Codes, losses: np.ndarray, rng: np.random.Generator) -> Codes:
    """Return the plan, (1, L), with the largest expected growth of the hypervolume."""
    hot = _one_hot(codes, evaluations.counts)
    accuracy = SingleTaskGP(hot, torch.tensor(-losses[:, :1]))
    likelihood = ExactMarginalLogLikelihood(accuracy.likelihood, accuracy)
    fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": 50}})
    samples = evaluations.coding.encode([space.sample(rng) for _ in range(CANDIDATES // 4)])
    pool = np.unique(np.concatenate([children(space, evaluations.coding, codes, CANDIDATES, rng), samples]), axis=0)
    pool = np.array([code for code in pool if not (codes == code).all(1).any()], dtype=CODE)
    choices = _one_hot(pool, evaluations.counts)
    plans = torch.cat([hot, choices])
    known = torch.tensor(np.concatenate([losses[:, 1], evaluations.costs(pool)]))

    def flops(points: Tensor) -> Tensor:
        return -known[torch.cdist(points, plans).argmin(-1)][..., None]

    acquisition = qLogNoisyExpectedHypervolumeImprovement(
        model=ModelList(accuracy, GenericDeterministicModel(flops)),
        ref_point=[-1.0, -1.0],
        X_baseline=hot,
        sampler=SobolQMCNormalSampler(torch.Size([64]), seed=evaluations.seed),
        prune_baseline=True,
        cache_root=False,
    )
    with torch.no_grad():
        best, _ = optimize_acqf_discrete(acquisition, q=1, choices=choices, max_batch_size=256)
    return pool[(choices == best).all(1).numpy()][:1]


def _one_hot(codes: Codes, counts: np.ndarray) -> Tensor:
    """Return codes, (N, L), as zeros and ones, (N, sum of counts - L): a column per level but a block's first."""
    columns = [codes[:, [block]] == np.arange(1, count) for block, count in enumerate(counts)]
    return torch.tensor(np.concatenate(columns, axis=1), dtype=torch.double)
