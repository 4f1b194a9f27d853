"""Checks, by running the model, that packed questions give the same logits as plain ones."""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

import torch
from torch import nn

from workers.data.sample import Sample
from workers.inference.packed_split import Unpackable, pack_split
from workers.inference.plain_split import PlainSplit
from workers.models.loaded_model import LoadedModel
from workers.models.probe_inputs import ANSWERS, QUESTIONS, pictures
from workers.models.vision_replay import close

log = logging.getLogger(__name__)
_SLOWER = "each question runs in a separate sequence, which is slower than sharing the prefix of an image"
_PROVEN: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def packing_is_exact(loaded: LoadedModel) -> bool:
    """Return True if packed questions give the same answer logits as the plain model.

    The check runs once per model, with no plan applied, on four questions about two pictures.
    """
    if loaded.model not in _PROVEN:
        _PROVEN[loaded.model] = _is_exact(loaded)
        if _PROVEN[loaded.model]:
            log.info("questions about one picture share its prefix")
    return _PROVEN[loaded.model]


@torch.no_grad()
def _is_exact(loaded: LoadedModel) -> bool:
    samples = [
        Sample(picture, str(number), question, (answer,), "probe")
        for number, picture in enumerate(pictures())
        for question, answer in zip(QUESTIONS, ANSWERS, strict=True)
    ]
    try:
        packed, plain = pack_split(loaded, samples), PlainSplit(loaded, samples)
        chosen = range(len(samples))
        packs = packed.answer_batch(loaded, chosen, len(QUESTIONS))
        batch = plain.answer_batch(loaded, chosen, len(QUESTIONS))
        if not torch.equal(packs.targets, batch.targets) or not plain.takes_the_likeliest(loaded):
            raise Unpackable("answers are tokenized or generated in another way")
        if not close(packed.answer_logits(loaded, packs), plain.answer_logits(loaded, batch)):
            raise Unpackable("packed questions get other logits")
    except Unpackable as error:
        log.warning("%s: %s", _SLOWER, error)
        return False
    except (RuntimeError, ValueError, TypeError, AttributeError, LookupError) as error:
        # families that do not support packed inputs raise various errors
        log.warning("%s: %s", _SLOWER, " ".join(str(error).split())[:200])
        return False
    return True
