"""Finds the text and tokens of an answer that follows a prompt, as the model's chat template writes assistant turns.

Imports no torch, so that the dry run tokenizes answers by the same rule as the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Conversation = list[dict[str, Any]]
Render = Callable[[Conversation, bool], str]
"""(messages, True to add the generation prompt) -> text."""
Encode = Callable[[str], Sequence[int]]
"""Text -> token ids, without special tokens added."""
PROBE_ANSWER = "xylem"
"""Answer with which a template is rendered, to find the text around it; a word that occurs in no template."""


@dataclass(frozen=True)
class AssistantTurn:
    """The text of an assistant turn around its answer."""

    prompt: str
    """A prompt that ends where answers begin."""
    lead: str
    """Text between the prompt and the answer."""
    end: str
    """Text after the answer, up to and including the end-of-turn token; empty if the template writes none."""

    def ids(self, encode: Encode, answer: str, end_token: int) -> tuple[int, ...]:
        """Return the token ids that follow the prompt: the answer, then the end of the turn.

        Args:
            encode: tokenizer without added special tokens.
            answer: the answer text.
            end_token: id that ends the turn if the template writes no end-of-turn token.
        """
        prompt, written = list(encode(self.prompt)), self.lead + answer.strip() + self.end
        whole = list(encode(self.prompt + written))
        follows = whole[: len(prompt)] == prompt
        ids = whole[len(prompt) :] if follows else _unmerged(encode, self.prompt, written)
        return tuple(ids) if self.end else (*ids, end_token)


def find_turn(render: Render, question: Conversation, marks: Collection[str]) -> AssistantTurn:
    """Return the turn that a chat template writes for the assistant after a question.

    If the template writes no assistant turn, or one that does not begin with its generation prompt, the answer follows
    the generation prompt directly, with a space after a word or a colon.

    Args:
        render: the chat template.
        question: a conversation of one user turn.
        marks: special tokens of the tokenizer, as text; the first one after the answer ends the turn.
    """
    prompt = render(question, True)
    for whole in _with_answer(render, question):
        start = whole.find(PROBE_ANSWER)
        if start < 0:
            continue
        lead = whole[len(prompt) : start] if whole.startswith(prompt) else default_lead(prompt, marks)
        return AssistantTurn(prompt, lead, _up_to_mark(whole[start + len(PROBE_ANSWER) :], marks))
    return AssistantTurn(prompt, default_lead(prompt, marks), "")


def default_lead(prompt: str, marks: Collection[str]) -> str:
    """Return the default text before an answer: a space, unless the prompt ends in whitespace or a special token."""
    closed = not prompt or prompt[-1].isspace() or any(prompt.endswith(mark) for mark in marks)
    return "" if closed else " "


def _with_answer(render: Render, question: Conversation) -> Iterator[str]:
    """Yield the conversation with the answer, rendered from a list of parts and from a text, if rendering succeeds."""
    for content in ([{"type": "text", "text": PROBE_ANSWER}], PROBE_ANSWER):
        try:
            whole = render([*question, {"role": "assistant", "content": content}], False)
        except Exception:  # templates are foreign code and may raise anything
            continue
        if repr(PROBE_ANSWER) not in whole:  # else the template printed the list itself
            yield whole


def _up_to_mark(text: str, marks: Collection[str]) -> str:
    places = [(text.find(mark), mark) for mark in marks if mark and mark in text]
    if not places:
        return ""
    place, mark = min(places, key=lambda found: (found[0], -len(found[1])))
    return text[:place] + mark


def _unmerged(encode: Encode, prompt: str, written: str) -> list[int]:
    """Return the ids of a continuation whose first letters the tokenizer would merge with the end of the prompt.

    The ids of the prompt must not change, so the continuation is tokenized separately. It is tokenized after a line
    break, since some tokenizers add a space before the first word of a text but not after a line break.
    """
    behind, alone = list(encode("\n" + written)), list(encode(written))
    line_break = list(encode("\n"))
    return behind[len(line_break) :] if behind[: len(line_break)] == line_break else alone
