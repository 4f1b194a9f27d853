"""Renders and tokenizes prompts without torch, from the chat template and `tokenizer.json` of the model.

The worker tokenizes with the processor of the model; this module gives the same tokens before torch is imported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workers.models.assistant_turn import AssistantTurn, Conversation, find_turn
from workers.models.model_files import locate, read_config, read_json
from workers.sources import ModelSource

if TYPE_CHECKING:
    from workers.data.sample import Sample

PROBE_QUESTION = "What is this?"
"""Question with which a template is rendered to find the text around answers."""


@dataclass(frozen=True)
class PromptForm:
    """The prompt of a family without a chat template."""

    given: str
    """Text passed to the processor."""
    read: str
    """Text into which the processor converts it, with one placeholder per image."""
    lead: str
    """Text between that and the answer."""
    end: str = ""
    """Text after the answer, up to and including the end-of-turn token; empty if the end token follows directly."""

    @property
    def turn(self) -> AssistantTurn:
        """Return the text around an answer."""
        return AssistantTurn(self.read.format(question=PROBE_QUESTION), self.lead, self.end)


_GOT_OCR2 = (
    "<|im_start|>system\nYou should follow the instructions carefully and explain your answers in detail.<|im_end|>"
    "<|im_start|>user\n<img><imgpad></img>\n{question}<|im_end|><|im_start|>assistant\n"
)
PROMPT_FORMS = {
    "paligemma": PromptForm("<image>answer en {question}", "<image><bos>answer en {question}\n", ""),
    "blip-2": PromptForm("Question: {question} Answer:", "<image>Question: {question} Answer:", " "),
    "instructblip": PromptForm("Question: {question} Short answer:", "<image>Question: {question} Short answer:", " "),
    "got_ocr2": PromptForm(_GOT_OCR2, _GOT_OCR2, "", "<|im_end|>"),
}
"""`model_type` -> its form for visual questions: Beyer et al. 2024 (arXiv 2407.07726, section 3.2.5), Li et al. 2023
(arXiv 2301.12597, section 4.2), Dai et al. 2023 (arXiv 2305.06500, appendix), and the prompt that transformers'
`GotOcr2Processor` writes."""


def prompt_form(model_type: str, name: str) -> PromptForm:
    """Return the prompt form of a model without a chat template.

    Args:
        model_type: `model_type` of its config.
        name: name of the model, for the message.

    Raises:
        ValueError: the family has no prompt form.
    """
    if model_type not in PROMPT_FORMS:
        raise ValueError(
            f"a model must have a chat template, got {name!r} without one: put chat_template.jinja into its folder"
        )
    return PROMPT_FORMS[model_type]


def conversation(question: str, *images: Any) -> Conversation:
    """Return a conversation of one user turn: the images, then the question.

    Args:
        question: the question.
        *images: per image, the picture, or None for a placeholder; by default one placeholder.
    """
    parts = [{"type": "image"} if image is None else {"type": "image", "image": image} for image in images or (None,)]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def check_one_image(images: int) -> None:
    """Raise ValueError for a prompt about several images, which needs a chat template."""
    if images > 1:
        raise ValueError(
            f"a model without a chat template takes one image per question, got {images}: take a model with a "
            "template, or name one column of images with --image-column"
        )


def target(sample: Sample) -> str:
    """Return the answer of a sample that is used for training and for counting generated tokens."""
    return sample.answers[0]


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
        ValueError: the model has no `tokenizer.json`, or neither chat template nor prompt form.
    """
    from tokenizers import Tokenizer

    path = locate(source, "tokenizer.json")
    if path is None:
        raise ValueError(
            f"a model must have a tokenizer.json, got {source.name!r} without one: save its processor into the folder"
        )
    template = _read_template(source)
    tokenizer, special = Tokenizer.from_file(str(path)), _special_tokens(source)
    if template is None:
        form = prompt_form(str(read_config(source).get("model_type")), source.name)
        return Prompter(None, tokenizer, special, form)
    return Prompter(_compile(template), tokenizer, special)


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
