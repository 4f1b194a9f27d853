"""Computes the norms of the input features of all linear layers over training samples, for calibrated pruning.

These are the statistics of Wanda (arXiv 2306.11695), here over questions with images and answers, one sample per
sequence, without padding. All norms come from one pass of the dense model, so that they can be used for all plans;
Wanda's code prunes layer after layer instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spaces.names import unknown
from spaces.pruning import Calibration
from spaces.scope import Group
from workers.blocks.anatomy import anatomy_of
from workers.blocks.token_groups import CODES
from workers.inference.prepare import AnswerBatch, Prepared
from workers.models.loaded_model import LoadedModel
from workers.pruning.inputs import Norms, layer_name
from workers.pruning.linears import prunable


def calibrate(loaded: LoadedModel, prepared: Prepared, num_samples: int, kinds: Collection[str] = ()) -> Norms:
    """Return the norms over at most `num_samples` samples, drawn with a fixed seed.

    Args:
        loaded: the model, with no plan applied.
        prepared: the split to draw from.
        num_samples: maximum number of samples.
        kinds: kinds of questions to draw from; empty for all.

    Raises:
        ValueError: a kind does not occur in the split.
    """
    known = {sample.kind for sample in prepared.samples}
    for kind in kinds:
        if kind not in known:
            raise unknown("kind of question", kind, sorted(known))
    chosen = [index for index, sample in enumerate(prepared.samples) if not kinds or sample.kind in kinds]
    order = np.random.default_rng(0).permutation(len(chosen))[:num_samples]
    drawn, at_once = [chosen[place] for place in order], prepared.sequences_at_once(loaded)
    chunks = (drawn[start : start + at_once] for start in range(0, len(drawn), at_once))
    return norms_of(loaded, prepared, (prepared.answer_batch(loaded, chunk, 1) for chunk in chunks))


@torch.no_grad()
def norms_of(loaded: LoadedModel, prepared: Prepared, batches: Iterable[AnswerBatch]) -> Norms:
    """Return the norms over the tokens of batches, without padding.

    Sub-layers whose weights cannot be pruned have no norms.

    Args:
        loaded: the model, with no plan applied.
        prepared: the split that the batches come from.
        batches: questions with answers.
    """
    layers = _layers(loaded.model)
    sums = {name: torch.zeros(len(Calibration), each.in_features, dtype=torch.float64) for name, each in layers.items()}
    with ExitStack() as stack:
        watched = _Watched()
        for name, each in layers.items():
            stack.callback(each.register_forward_pre_hook(watched.hook(sums[name])).remove)
        stack.callback(loaded.decoder.register_forward_pre_hook(watched.next_pass).remove)
        for batch in batches:
            watched.passes = iter(prepared.rows(loaded, batch))
            prepared.answer_logits(loaded, batch)
    return {
        mode: {name: total[place].sqrt().float().to(layers[name].weight.device) for name, total in sums.items()}
        for place, mode in enumerate(Calibration)
    }


def _layers(model: nn.Module) -> dict[str, nn.Linear]:
    return {
        layer_name(index, path): each
        for index, parts in enumerate(anatomy_of(model).parts)
        for layers in prunable(parts).values()
        for path, each in layers.items()
    }


class _Watched:
    """Sums up squared inputs of linear layers. N is the number of tokens in the current pass, without padding."""

    passes: Iterator[tuple[Tensor, Tensor]]
    """The rows of the coming passes of the decoder, as returned by `Prepared.rows`."""

    def next_pass(self, decoder: nn.Module, args: Any) -> None:
        """Set the rows of the pass that begins; a forward pre-hook of the decoder."""
        real, groups = (rows.flatten() for rows in next(self.passes))
        self._rows = real
        is_image = groups[real] == CODES[Group.VISUAL]
        counted = {
            Calibration.WHOLE: torch.ones_like(is_image),
            Calibration.TEXT: ~is_image,
            Calibration.IMAGE: is_image,
        }
        self._counted = torch.stack([counted[mode] for mode in Calibration]).float()
        """(calibrations, N) float32; 1 if a token counts for a calibration, else 0."""

    def hook(self, total: Tensor) -> Any:
        """Return a forward pre-hook that adds the squared inputs of a layer to `total`, (calibrations, inputs)."""

        def add(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            read = args[0].flatten(0, -2)
            assert len(read) == len(self._rows), "a dense block feeds its linear layers with all its rows"
            total.add_((self._counted @ read[self._rows].float().square()).to(total))

        return add
