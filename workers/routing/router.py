"""The router: a small network that predicts the score of every plan on a question.

A question whose features lie outside of what the training questions span, such as one of a kind that none of them had,
gets the mean scores of the plans: then the decision is that of one plan for all.

Legend: Q: questions; D: features; K: plans; R: directions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

TEXT, BOTH = "text", "text and image"
INPUTS = (TEXT, BOTH)
"""Features that a router may read."""


DIRECTIONS = 32
"""Largest number of directions in which the training questions vary most; what remains of a question outside of them is
compared with what remains of the training questions."""
REACH = 1.25
"""Factor by which more may remain of a question than of any training question."""
SLACK = 0.05
"""Share of the mean length of a standardized question that may always remain."""


class Router(nn.Module):
    """Standardizes features and predicts scores: a linear layer, or two with a GELU between them."""

    mean: Tensor
    deviation: Tensor
    directions: Tensor
    reach: Tensor
    usual: Tensor

    def __init__(self, features: int, hidden: int, plans: int) -> None:
        """Create a router with random weights.

        Args:
            features: number of features, D.
            hidden: width of the hidden layer; 0 for none.
            plans: number of plans, K.
        """
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        self.register_buffer("directions", torch.zeros(min(DIRECTIONS, features - 1), features))
        self.register_buffer("reach", torch.tensor(torch.inf))
        self.register_buffer("usual", torch.zeros(plans))
        before = (nn.Linear(features, hidden), nn.GELU()) if hidden else ()
        self.layers = nn.Sequential(*before, nn.Linear(hidden or features, plans))

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Router:
        """Return the router with stored weights."""
        shapes = [tensor.shape for name, tensor in state.items() if name.endswith("weight")]
        router = cls(shapes[0][1], shapes[0][0] if len(shapes) > 1 else 0, shapes[-1][0])
        router.load_state_dict(dict(state))
        return router.eval()

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits of the expected scores, (Q, K).

        Args:
            features: (Q, D) float32.
        """
        standard = (features - self.mean) / self.deviation
        logits: Tensor = torch.where(self._is_unknown(standard)[:, None], self.usual, self.layers(standard))
        return logits

    @torch.no_grad()
    def is_unknown(self, features: Tensor) -> Tensor:
        """Return True for questions unlike all training questions, (Q,) bool.

        Args:
            features: (Q, D) float32.
        """
        return self._is_unknown((features - self.mean) / self.deviation)

    def _is_unknown(self, standard: Tensor) -> Tensor:
        return self.remainder(standard) > self.reach

    def remainder(self, standard: Tensor) -> Tensor:
        """Return the length of what is outside of the directions of the training questions, (Q,).

        Args:
            standard: (Q, D) standardized features.
        """
        length: Tensor = (standard - standard @ self.directions.T @ self.directions).norm(dim=1)
        return length

    @torch.no_grad()
    def expected(self, features: Tensor) -> Tensor:
        """Return the expected score of each question under each plan, in [0, 1], (Q, K).

        Args:
            features: (Q, D) float32.
        """
        scores: Tensor = self(features).sigmoid()
        return scores

    @property
    def flops(self) -> int:
        """Return the FLOPs of one decision: two per weight of a matrix, and those per feature beside the matrices."""
        layers = sum(2 * weight.numel() for weight in self.parameters() if weight.ndim == 2)
        # Per feature: two to standardize it, three for the length of what remains.
        return layers + 2 * 2 * self.directions.numel() + 5 * len(self.mean)


def train_router(
    features: Tensor, scores: Tensor, *, hidden: int, weight_decay: float, seed: int, epochs: int = 40
) -> Router:
    """Return a router trained by cross-entropy on the scores of questions.

    Args:
        features: (Q, D) float32.
        scores: (Q, K) float32 in [0, 1].
        hidden: width of the hidden layer; 0 for none.
        weight_decay: weight decay of AdamW.
        seed: seed of the weights and of the order of the questions.
        epochs: number of passes over the questions.
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        router = Router(features.shape[1], hidden, scores.shape[1])
        router.mean.copy_(features.mean(0))
        router.deviation.copy_(features.std(0, correction=0).clamp_min(1e-6))
        standard = (features - router.mean) / router.deviation
        _learn_range(router, standard, scores)
        optimizer = torch.optim.AdamW(router.parameters(), lr=3e-3, weight_decay=weight_decay)
        for _ in range(epochs):
            for rows in torch.randperm(len(features)).split(128):
                loss = nn.functional.binary_cross_entropy_with_logits(router.layers(standard[rows]), scores[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return router.eval()


def _learn_range(router: Router, standard: Tensor, scores: Tensor) -> None:
    """Store the directions in which questions vary most, what remains of them outside, and the mean scores."""
    number = min(len(router.directions), len(standard))
    router.directions[:number] = torch.svd_lowrank(standard, q=number, niter=4)[2].T
    router.usual.copy_(torch.logit(scores.mean(0), eps=1e-4))
    rounding = SLACK * standard.norm(dim=1).mean()  # all questions may lie in fewer directions
    router.reach.copy_(torch.maximum(REACH * router.remainder(standard).max(), rounding))
