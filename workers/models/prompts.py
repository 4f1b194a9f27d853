"""How a question becomes token ids, without torch: chat template and `tokenizer.json` as the model ships them.

The worker itself tokenizes through the model's processor; this gives the same counts before torch is imported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workers.models.assistant_turn import AssistantTurn, Conversation, find_turn
from workers.models.model_files import locate, read_config, read_json
from workers.requests import ModelSource

if TYPE_CHECKING:
    from workers.data.sample import Sample

PROBE_QUESTION = "What is this?"


@dataclass(frozen=True)
class PromptForm:
    """How a family without a chat template is asked."""

    given: str
    """What its processor is given."""
    read: str
    """What the processor makes of it, an image being one placeholder."""
    lead: str
    """What stands between this and the answer."""

    @property
    def turn(self) -> AssistantTurn:
        """How an answer follows."""
        return AssistantTurn(self.read.format(question=PROBE_QUESTION), self.lead, "")


PROMPT_FORMS = {
    "paligemma": PromptForm("<image>answer en {question}", "<image><bos>answer en {question}\n", ""),
    "blip-2": PromptForm("Question: {question} Answer:", "<image>Question: {question} Answer:", " "),
    "instructblip": PromptForm("Question: {question} Short answer:", "<image>Question: {question} Short answer:", " "),
}
"""`model_type` -> its form for visual questions: Beyer et al. 2024 (arXiv 2407.07726, section 3.2.5), Li et al. 2023
(arXiv 2301.12597, section 4.2), Dai et al. 2023 (arXiv 2305.06500, appendix)."""


def prompt_form(model_type: str, name: str) -> PromptForm:
    """The form to ask a model without a chat template in. Raises ValueError where its family has none."""
    if model_type not in PROMPT_FORMS:
        raise ValueError(
            f"a model must have a chat template, got {name!r} without one: put chat_template.jinja into its folder"
        )
    return PROMPT_FORMS[model_type]


def conversation(question: str, *images: Any) -> Conversation:
    """Return one user turn: the images, then the question.

    `images` are the pictures themselves where a processor shall read them, or None for each; none given is one None.
    """
    parts = [{"type": "image"} if image is None else {"type": "image", "image": image} for image in images or (None,)]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def check_one_image(images: int) -> None:
    """Raise ValueError where a prompt without a chat template is to be about several images."""
    if images > 1:
        raise ValueError(
            f"a model without a chat template is asked about one image, got a question about {images}: take a model "
            "with a template, or one image by --image-column"
        )


def target(sample: Sample) -> str:
    """The answer that is trained on and that generated tokens are counted by."""
    return sample.answers[0]


@dataclass(frozen=True)
class Prompter:
    """Renders and tokenizes prompts as the model's processor does, an image being one placeholder."""

    template: Any
    """Compiled jinja template; None where `form` says how to ask."""
    tokenizer: Any
    """A `tokenizers.Tokenizer`."""
    special_tokens: dict[str, str] = field(default_factory=dict)
    """`bos_token` and its like, which templates may name."""
    form: PromptForm | None = None

    @cached_property
    def turn(self) -> AssistantTurn:
        """How an answer follows the prompt."""
        if self.form is not None:
            return self.form.turn
        marks = {token.content for token in self.tokenizer.get_added_tokens_decoder().values() if token.special}
        return find_turn(self._render, conversation(PROBE_QUESTION), {*marks, *self.special_tokens.values()})

    def _render(self, messages: Conversation, generation_prompt: bool) -> str:
        return self.template.render(messages=messages, add_generation_prompt=generation_prompt, **self.special_tokens)

    def text(self, question: str, images: int = 1) -> str:
        """Return the prompt up to the first generated token, about so many images."""
        if self.form is not None:
            check_one_image(images)
            return self.form.read.format(question=question)
        return self._render(conversation(question, *[None] * images), True)

    def prompt_ids(self, question: str, images: int = 1) -> list[int]:
        """Token ids of the prompt; special tokens are added unless the template has begun with one."""
        text = self.text(question, images)
        bos = self.special_tokens.get("bos_token")
        return self.tokenizer.encode(text, add_special_tokens=not (bos and text.startswith(bos))).ids

    def answer_ids(self, answer: str) -> list[int]:
        """Return the token ids by which an answer follows the prompt, end of turn included."""
        end = self.tokenizer.token_to_id(self.special_tokens.get("eos_token", "")) or 0
        return list(self.turn.ids(lambda text: self.tokenizer.encode(text, add_special_tokens=False).ids, answer, end))


def read_prompter(source: ModelSource) -> Prompter:
    """The prompter of a model. Raises ValueError where it has no way to be asked or no `tokenizer.json`."""
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
    """Where processors and tokenizers keep it, newest place first."""
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
    """In a sandbox with the options and names transformers gives: templates of hub models are foreign code."""
    from jinja2 import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    class Generation(Extension):
        """The tag that marks what the model writes; its body is rendered as it is."""

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
