"""How a model's prompt goes on with an answer: as its own chat template writes the turn of the assistant.

No torch: the worker and the dry run tokenize answers by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Conversation = list[dict[str, Any]]
Render = Callable[[Conversation, bool], str]
"""(messages, whether the generation prompt is added) -> text."""
Encode = Callable[[str], Sequence[int]]
"""Text -> token ids, none added."""
PROBE_ANSWER = "xylem"
"""Answer that a template is rendered with to see what it writes around it: a word that none has of its own."""


@dataclass(frozen=True)
class AssistantTurn:
    """The text around an answer, found with a probe."""

    prompt: str
    """A prompt that ends where answers begin."""
    lead: str
    """What stands between the prompt and the answer."""
    end: str
    """What follows the answer, up to the mark that ends the turn; empty where the template writes none."""

    def ids(self, encode: Encode, answer: str, end_token: int) -> tuple[int, ...]:
        """Return the token ids that follow the prompt: the answer, then the end of the turn.

        `end_token` closes the turn where the template has no mark for that.
        """
        prompt, said = list(encode(self.prompt)), self.lead + answer.strip() + self.end
        whole = list(encode(self.prompt + said))
        follows = whole[: len(prompt)] == prompt
        ids = whole[len(prompt) :] if follows else _unmerged(encode, self.prompt, said)
        return tuple(ids) if self.end else (*ids, end_token)


def find_turn(render: Render, question: Conversation, marks: Collection[str]) -> AssistantTurn:
    """Return the turn that a chat template writes for the assistant after a question.

    A template that writes no such turn, or another one than its generation prompt begins, is taken to go on right
    behind its generation prompt, with a space after a word or a colon.

    Args:
        question: a conversation of one user turn.
        marks: special tokens of the tokenizer, as text: the first one behind the answer ends the turn.
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
    """Return what stands before an answer where nothing says so: a space, unless the prompt ends in one or a mark."""
    closed = not prompt or prompt[-1].isspace() or any(prompt.endswith(mark) for mark in marks)
    return "" if closed else " "


def _with_answer(render: Render, question: Conversation) -> Iterator[str]:
    """The conversation with the answer: as a list of parts, then as a text, whichever the template can write."""
    for content in ([{"type": "text", "text": PROBE_ANSWER}], PROBE_ANSWER):
        try:
            whole = render([*question, {"role": "assistant", "content": content}], False)
        except Exception:  # templates are foreign code and raise whatever they like
            continue
        if repr(PROBE_ANSWER) not in whole:  # else the list itself was printed
            yield whole


def _up_to_mark(text: str, marks: Collection[str]) -> str:
    places = [(text.find(mark), mark) for mark in marks if mark and mark in text]
    if not places:
        return ""
    place, mark = min(places, key=lambda found: (found[0], -len(found[1])))
    return text[:place] + mark


def _unmerged(encode: Encode, prompt: str, said: str) -> list[int]:
    """The ids of a continuation whose first letters a tokenizer would merge with the end of the prompt.

    The model reads the prompt's own ids, so that what it goes on with is tokenized apart. Some tokenizers put a space
    before the first word of a text: behind a line break they don't.
    """
    behind, alone = list(encode("\n" + said)), list(encode(said))
    line_break = list(encode("\n"))
    return behind[len(line_break) :] if behind[: len(line_break)] == line_break else alone
