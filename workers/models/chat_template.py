"""Applies the chat template of a model: with its processor, to model inputs; or to token ids without torch.

The worker uses `PromptEncoder`. `Prompter` gives the same tokens before torch is imported, from `tokenizer.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from spaces.names import shortened
from workers.models.assistant_turn import AssistantTurn, Conversation, find_turn
from workers.models.model_files import locate, read_config, read_json
from workers.models.prompt_forms import PROBE_QUESTION, PromptForm, check_one_image, conversation, prompt_form
from workers.sources import ModelSource

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
"""Files of which a model has at least one, with the settings of its image processor."""


@dataclass(frozen=True)
class PromptEncoder:
    """A processor and its prompt form."""

    processor: Any
    form: PromptForm | None
    """Prompt of a family without a chat template; None to apply the chat template of the processor."""

    def prompt(self, question: str, images: int = 1) -> Conversation | str:
        """Return the prompt for the processor: a conversation for its chat template, or a text."""
        if self.form is None:
            return conversation(question, *[None] * images)
        check_one_image(images)
        return self.form.given.format(question=question)

    @cached_property
    def turn(self) -> AssistantTurn:
        """Return the text around an answer."""
        if self.form is not None:
            return self.form.turn
        tokenizer = self.processor.tokenizer
        added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        return find_turn(self._render, conversation(PROBE_QUESTION), {*added, *tokenizer.all_special_tokens})

    def _render(self, messages: Conversation, generation_prompt: bool) -> str:
        return self.processor.apply_chat_template(messages, add_generation_prompt=generation_prompt)  # type: ignore[no-any-return]

    def text(self, question: str, images: int = 1) -> str:
        """Return a prompt as text, with one placeholder per image."""
        if self.form is not None:
            return self.form.read.format(question=question)
        return self._render(conversation(question, *[None] * images), True)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens added."""
        return self.processor.tokenizer(text, add_special_tokens=False).input_ids  # type: ignore[no-any-return]

    def answer_ids(self, answer: str, end_token: int) -> tuple[int, ...]:
        """Return the token ids of an answer that follows the prompt, including the end of turn.

        Args:
            answer: the answer text.
            end_token: id that ends the turn if the chat template writes no end-of-turn token.
        """
        return self.turn.ids(self.encode, answer, end_token)

    def inputs(self, questions: Sequence[str], images: Sequence[Any]) -> dict[str, Any]:
        """Return the model inputs of a batch of questions, padded on the left.

        Args:
            questions: B questions.
            images: per question one image, or a tuple of several.

        Returns:
            Keyword arguments of the model: `input_ids` and `attention_mask` (B, T), pixels and others.

        Raises:
            ValueError: a question is about several images and the model has no chat template.
        """
        shown = [each if isinstance(each, tuple) else (each,) for each in images]
        padding = {"padding": True, "padding_side": "left"}
        if self.form is not None:
            texts = [self.prompt(question, len(each)) for question, each in zip(questions, shown, strict=True)]
            made = self.processor(images=[image for (image,) in shown], text=texts, return_tensors="pt", **padding)
        else:
            made = self.processor.apply_chat_template(
                [conversation(question, *each) for question, each in zip(questions, shown, strict=True)],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs=padding,
            )
        return {name: value for name, value in made.items() if name != "labels"}  # PaliGemma's makes some


@dataclass(frozen=True)
class Prompter:
    """Renders and tokenizes prompts as the processor of the model does, with one placeholder per image."""

    template: Any
    """Compiled jinja template; None if `form` is used."""
    tokenizer: Any
    """A `tokenizers.Tokenizer`."""
    special_tokens: dict[str, str] = field(default_factory=dict)
    """Name -> text of special tokens such as `bos_token`, which templates may use."""
    form: PromptForm | None = None

    @cached_property
    def turn(self) -> AssistantTurn:
        """Return the text around an answer."""
        if self.form is not None:
            return self.form.turn
        marks = {token.content for token in self.tokenizer.get_added_tokens_decoder().values() if token.special}
        return find_turn(self._render, conversation(PROBE_QUESTION), {*marks, *self.special_tokens.values()})

    def _render(self, messages: Conversation, generation_prompt: bool) -> str:
        text: str = self.template.render(
            messages=messages, add_generation_prompt=generation_prompt, **self.special_tokens
        )
        return text

    def check(self, name: str) -> None:
        """Check that the chat template takes a question about an image.

        Args:
            name: name of the model, for the message.

        Raises:
            ValueError: the template raises an error; one line.
        """
        try:
            self.text(PROBE_QUESTION)
        except Exception as error:  # templates are foreign code and may raise anything
            raise _bad_template(name, error) from None

    def text(self, question: str, images: int = 1) -> str:
        """Return the prompt up to the first generated token, with one placeholder per image."""
        if self.form is not None:
            check_one_image(images)
            return self.form.read.format(question=question)
        return self._render(conversation(question, *[None] * images), True)

    def prompt_ids(self, question: str, images: int = 1) -> list[int]:
        """Return the token ids of the prompt; special tokens are added unless the template begins with one."""
        text = self.text(question, images)
        bos = self.special_tokens.get("bos_token")
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=not (bos and text.startswith(bos))).ids
        return ids

    def answer_ids(self, answer: str) -> list[int]:
        """Return the token ids of an answer that follows the prompt, including the end of turn."""
        end = self.tokenizer.token_to_id(self.special_tokens.get("eos_token", "")) or 0
        return list(self.turn.ids(lambda text: self.tokenizer.encode(text, add_special_tokens=False).ids, answer, end))


def read_prompter(source: ModelSource) -> Prompter:
    """Return the prompter of a model.

    Raises:
        ValueError: the model lacks `tokenizer.json`, files of its processor, or a usable chat template or prompt form.
    """
    from jinja2 import TemplateError
    from tokenizers import Tokenizer

    path = locate(source, "tokenizer.json")
    if path is None:
        raise ValueError(
            f"a model must have a tokenizer.json, got {source.name!r} without one: save its processor into the folder"
        )
    if not any(locate(source, file) for file in PROCESSOR_FILES):
        raise ValueError(
            f"a model must have a {' or '.join(PROCESSOR_FILES)}, got {source.name!r} without one: save its processor "
            "into the folder"
        )
    template = _read_template(source)
    tokenizer, special = Tokenizer.from_file(str(path)), _special_tokens(source)
    if template is None:
        form = prompt_form(str(read_config(source).get("model_type")), source.name)
        return Prompter(None, tokenizer, special, form)
    try:
        compiled = _compile(template)
    except TemplateError as error:
        raise _bad_template(source.name, error) from None
    prompter = Prompter(compiled, tokenizer, special)
    prompter.check(source.name)
    return prompter


def _bad_template(name: str, error: Exception) -> ValueError:
    return ValueError(
        f"a chat template must take a question about an image, that of {name!r} raises {type(error).__name__}: "
        f"{shortened(str(error))}; correct chat_template.jinja"
    )


def _read_template(source: ModelSource) -> str | None:
    """Return the chat template from processor or tokenizer files, newest format first; None if there is none."""
    path = locate(source, "chat_template.jinja")
    if path is not None:
        return path.read_text(encoding="utf-8")
    for file in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        path = locate(source, file)
        template = read_json(path).get("chat_template") if path is not None else None
        if isinstance(template, str):
            return template
    return None


def _special_tokens(source: ModelSource) -> dict[str, str]:
    path = locate(source, "tokenizer_config.json")
    config = read_json(path) if path is not None else {}
    tokens = {name: value for name, value in config.items() if name.endswith("_token")}
    contents = {name: value["content"] if isinstance(value, dict) else value for name, value in tokens.items()}
    return {name: content for name, content in contents.items() if isinstance(content, str)}


def _compile(template: str) -> Any:
    """Compile a template as transformers does, in a sandbox, since hub templates are foreign code."""
    from jinja2 import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    class Generation(Extension):
        """The tag `generation`, which marks text written by the model; its body is rendered unchanged."""

        tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)
