"""The classes that lmms-eval runs: `lmms-eval --model skipsearch --model_args pretrained=FOLDER --tasks ...`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from lmms_eval.api.instance import GenerationResult
from lmms_eval.api.model import lmms
from tqdm import tqdm

from workers.harness.answers import generate, loss
from workers.harness.conversations import from_images, from_messages
from workers.harness.model_arguments import open_model, read_arguments
from workers.models.assistant_turn import Conversation


class Skipsearch(lmms):  # type: ignore[misc]
    """An exported folder or a base model under a plan, for requests with a text and its images (`--force_simple`)."""

    is_simple = True

    def __init__(self, **given: Any) -> None:
        """Load the model; its plan is applied as long as this object exists.

        Args:
            **given: `--model_args`, see `workers.harness.model_arguments.ModelArguments`.

        Raises:
            ValueError: the arguments can't be used, or there are several processes; one line.
        """
        super().__init__()
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        if processes > 1:
            raise ValueError(
                f"the model skipsearch must run in one process, got {processes}: start lmms-eval without accelerate "
                "or torchrun, one task at a time per GPU"
            )
        arguments = read_arguments(given)
        self._plan = ExitStack()
        self.loaded = open_model(arguments, self._plan)
        self._batch_size = arguments.batch_size

    @property
    def batch_size(self) -> int:
        """Return the number of questions that are answered together."""
        return self._batch_size

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return the answer to each request; requests with the same options are answered in batches.

        Args:
            requests: instances of lmms-eval.
        """
        groups: dict[str, list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            groups[repr(sorted(self._options(request.args).items()))].append(index)
        answers = [""] * len(requests)
        with tqdm(total=len(requests), desc="Model Responding") as progress:
            for group in groups.values():
                for start in range(0, len(group), self.batch_size):
                    chosen = group[start : start + self.batch_size]
                    asked = [self._conversation(requests[index].args) for index in chosen]
                    texts = generate(self.loaded, asked, self._options(requests[chosen[0]].args))
                    for index, text in zip(chosen, texts, strict=True):
                        answers[index] = text
                    progress.update(len(chosen))
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[Any]:
        """Return, per request, the mean loss of its continuation, and True if greedy decoding would give it.

        lmms-eval takes the choice with the smallest value, so models return losses, not log-likelihoods.

        Args:
            requests: instances of lmms-eval with a continuation.

        Raises:
            ValueError: a request has no question; one line.
        """
        found = []
        for request in tqdm(requests, desc="Model Responding"):
            if len(request.args) != 6:
                raise ValueError(
                    "a continuation must have a question and images, got one alone: choose another metric than "
                    "acc_mutual_info"
                )
            text, target, visuals, document, task, split = request.args
            row = self.task_dict[task][split][document]
            answer = target if isinstance(target, str) else str(target(row))
            value = loss(self.loaded, self._question(text, visuals(row)), answer)
            found.append(GenerationResult(value))  # lmms-eval 0.7.3 converts a plain tuple to text
        return found

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse tasks of several rounds.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "the model skipsearch answers questions of one round, got a task of several: choose another task"
        )

    def _options(self, arguments: tuple[Any, ...]) -> Mapping[str, Any]:
        options: Mapping[str, Any] = arguments[1]
        return options

    def _conversation(self, arguments: tuple[Any, ...]) -> Conversation:
        text, _, visuals, document, task, split = arguments
        return self._question(text, visuals(self.task_dict[task][split][document]))

    def _question(self, text: str, visuals: Sequence[Any] | None) -> Conversation:
        placeholder = getattr(self.loaded.processor, "image_token", None)
        return from_images(text, visuals, placeholder if isinstance(placeholder, str) else None)


class SkipsearchChat(Skipsearch):
    """The same for requests with conversations, lmms-eval's default."""

    is_simple = False

    def _options(self, arguments: tuple[Any, ...]) -> Mapping[str, Any]:
        options: Mapping[str, Any] = arguments[2]
        return options

    def _conversation(self, arguments: tuple[Any, ...]) -> Conversation:
        _, messages, _, document, task, split = arguments
        return from_messages(messages(self.task_dict[task][split][document]))
