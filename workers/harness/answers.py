"""Generates answers to conversations, and computes the loss of given ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch

from workers.data.harness_task import MAX_NEW_TOKENS
from workers.harness.conversations import inputs
from workers.inference.check_finite import check_logits
from workers.inference.stepwise import Talk
from workers.models.assistant_turn import Conversation
from workers.models.loaded_model import LoadedModel

log = logging.getLogger(__name__)
PASSED = ("max_new_tokens", "min_new_tokens", "num_beams", "repetition_penalty")
"""Options of a task that `generate` receives."""
SAMPLING = ("temperature", "top_p", "top_k")
"""Options that `generate` receives if the task samples."""


def generation_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of `generate` for the options of a task.

    As in the models of lmms-eval, answers are sampled if the temperature is above 0, unless `do_sample` is false.

    Args:
        given: `generation_kwargs` of the task.
    """
    samples = (given.get("temperature") or 0) > 0 and given.get("do_sample") is not False
    for name in sorted(set(given) - {*PASSED, *SAMPLING, "do_sample", "until"}):
        _warn_unused(name)
    names = (*PASSED, *SAMPLING) if samples else PASSED
    chosen = {name: given[name] for name in names if given.get(name) is not None}
    return {"max_new_tokens": MAX_NEW_TOKENS, "num_beams": 1, "do_sample": samples, **chosen}


@cache
def _warn_unused(name: str) -> None:
    log.warning("the option %s of the task's generation_kwargs is not used", name)


@torch.inference_mode()
def generate(loaded: LoadedModel, conversations: Sequence[Conversation], options: Mapping[str, Any]) -> list[str]:
    """Return one answer per conversation, without special tokens and without the text from a stop text on.

    Args:
        loaded: the model.
        conversations: B conversations.
        options: `generation_kwargs` of the task, the same for all.

    Raises:
        NonFinite: a logit is NaN or infinite.
    """
    batch = inputs(loaded, conversations)
    ends = {"eos_token_id": list(loaded.end_tokens), "pad_token_id": loaded.pad_token}
    watch = loaded.head.register_forward_hook(lambda _, args, logits: check_logits(logits))
    try:
        ids = loaded.model.generate(**batch, **generation_options(options), **ends)
    finally:
        watch.remove()
    prompt = batch["input_ids"]
    if torch.equal(ids[:, : prompt.shape[1]], prompt):  # some families return the answer alone
        ids = ids[:, prompt.shape[1] :]
    stops = options.get("until") or ()
    texts = loaded.processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [_before(text, (stops,) if isinstance(stops, str) else stops).strip() for text in texts]


def _before(text: str, stops: Sequence[str]) -> str:
    """Return the text before the first of the stop texts."""
    return text[: min((text.find(stop) for stop in stops if stop and stop in text), default=len(text))]


@torch.inference_mode()
def loss(loaded: LoadedModel, conversation: Conversation, answer: str) -> tuple[float, bool]:
    """Return the mean loss of an answer in nats per token, and True if greedy decoding would give the answer.

    The end of the turn counts as a token of the answer.

    Args:
        loaded: the model.
        conversation: the question.
        answer: the given answer.

    Raises:
        NonFinite: a logit is NaN or infinite.
    """
    tokens = torch.tensor([loaded.answer_tokens(answer)], device=loaded.device)
    talk = Talk(loaded, inputs(loaded, [conversation]))
    logits = talk.prefill()[:, None]
    if tokens.shape[1] > 1:
        logits = torch.cat([logits, talk.feed(tokens[:, :-1])], dim=1)
    check_logits(logits)
    value = torch.nn.functional.cross_entropy(logits[0].float(), tokens[0])
    return value.item(), bool((logits.argmax(-1) == tokens).all())
