"""The router: a small network that predicts the score of every plan on a question.

Legend: Q: questions; D: features; K: plans.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

TEXT, BOTH = "text", "text and image"
INPUTS = (TEXT, BOTH)
"""Features that a router may read."""


class Router(nn.Module):
    """Standardizes features and predicts scores: a linear layer, or two with a GELU between them."""

    mean: Tensor
    deviation: Tensor

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
        before = (nn.Linear(features, hidden), nn.GELU()) if hidden else ()
        self.layers = nn.Sequential(*before, nn.Linear(hidden or features, plans))

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Router:
        """Return the router with stored weights."""
        shapes = [tensor.shape for name, tensor in state.items() if tensor.ndim == 2]
        router = cls(shapes[0][1], shapes[0][0] if len(shapes) > 1 else 0, shapes[-1][0])
        router.load_state_dict(dict(state))
        return router.eval()

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits of the expected scores, (Q, K).

        Args:
            features: (Q, D) float32.
        """
        logits: Tensor = self.layers((features - self.mean) / self.deviation)
        return logits

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
        """Return the FLOPs of one decision: two per weight of a matrix, and those of standardizing the features."""
        return 2 * len(self.mean) + sum(2 * weight.numel() for weight in self.parameters() if weight.ndim == 2)


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
        optimizer = torch.optim.AdamW(router.parameters(), lr=3e-3, weight_decay=weight_decay)
        for _ in range(epochs):
            for rows in torch.randperm(len(features)).split(128):
                loss = nn.functional.binary_cross_entropy_with_logits(router(features[rows]), scores[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return router.eval()
