"""One pass of the dense model over samples of the train split: the norm of every input feature of every linear layer.

The statistics of Wanda (arXiv 2306.11695) over multimodal samples: question and answer as the model is tuned on them,
one sample a sequence. Padding is left out. All layers are seen under the dense model at once, where Wanda's code prunes
layer after layer: so the norms serve every plan.
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
from workers.inference.prepare import Lesson, Prepared
from workers.models.loaded_model import LoadedModel
from workers.pruning.inputs import Norms, layer_name
from workers.pruning.linears import prunable


def calibrate(loaded: LoadedModel, prepared: Prepared, num_samples: int, kinds: Collection[str] = ()) -> Norms:
    """Norms over at most `num_samples` samples, drawn once and for all. The model must be under no plan.

    Args:
        kinds: only samples of these kinds of questions; of any, where there are none.

    Raises ValueError for a kind that no sample has.
    """
    known = {sample.kind for sample in prepared.samples}
    for kind in kinds:
        if kind not in known:
            raise unknown("kind of question", kind, sorted(known))
    chosen = [index for index, sample in enumerate(prepared.samples) if not kinds or sample.kind in kinds]
    order = np.random.default_rng(0).permutation(len(chosen))[:num_samples]
    drawn, at_once = [chosen[place] for place in order], prepared.sequences_at_once(loaded)
    chunks = (drawn[start : start + at_once] for start in range(0, len(drawn), at_once))
    return norms_of(loaded, prepared, (prepared.lesson(loaded, chunk, 1) for chunk in chunks))


@torch.no_grad()
def norms_of(loaded: LoadedModel, prepared: Prepared, lessons: Iterable[Lesson]) -> Norms:
    """Norms over the tokens of these lessons, padding aside; of halves whose weights can't be pruned there are none."""
    layers = _layers(loaded.model)
    sums = {name: torch.zeros(len(Calibration), each.in_features, dtype=torch.float64) for name, each in layers.items()}
    with ExitStack() as stack:
        watched = _Watched()
        for name, each in layers.items():
            stack.callback(each.register_forward_pre_hook(watched.hook(sums[name])).remove)
        stack.callback(loaded.decoder.register_forward_pre_hook(watched.next_pass).remove)
        for lesson in lessons:
            watched.passes = iter(prepared.rows(loaded, lesson))
            prepared.answer_logits(loaded, lesson)
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
    """Adds up the squares of what linear layers read. N tokens of the batch at hand that are no padding."""

    passes: Iterator[tuple[Tensor, Tensor]]
    """The rows of the decoder's passes to come, as `Prepared.rows` says."""

    def next_pass(self, decoder: nn.Module, args: Any) -> None:
        """Learns which rows the pass that begins has."""
        real, groups = (rows.flatten() for rows in next(self.passes))
        self._rows = real
        is_image = groups[real] == CODES[Group.VISUAL]
        counted = {
            Calibration.WHOLE: torch.ones_like(is_image),
            Calibration.TEXT: ~is_image,
            Calibration.IMAGE: is_image,
        }
        self._counted = torch.stack([counted[mode] for mode in Calibration]).float()
        """(choices of tokens, N)."""

    def hook(self, total: Tensor) -> Any:
        """For a layer whose squares are added to `total` (choices of tokens, inputs)."""

        def add(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
            read = args[0].flatten(0, -2)
            assert len(read) == len(self._rows), "a dense block feeds its linear layers with all its rows"
            total.add_((self._counted @ read[self._rows].float().square()).to(total))

        return add
