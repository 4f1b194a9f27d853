"""Converts rows with a conversation to questions with answers.

LLaVA stores conversations in the column `conversations`, TRL in `messages`, and The Cauldron in `texts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from spaces.names import shown
from workers.data.image_files import PAYLOADS, cells_of

COLUMNS = ("conversations", "messages", "conversation", "texts")
"""Usual names of the column of conversations, in order of preference."""
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant"}
"""Role as stored -> role in the chat template."""
IMAGE = "<image>"
"""Placeholder of an image in the text of a turn."""
TAKEN = ("question", "answer", "images in text")
"""Columns that a conversation is converted to; the last is the number of image placeholders in its turns."""


def conversation_column(names: Iterable[str]) -> str | None:
    """Return the column of conversations, or None if there is none."""
    return next((name for name in COLUMNS if name in set(names)), None)


def questions_of(row: Mapping[str, Any], column: str, image: str, each: bool) -> Iterator[dict[str, Any]]:
    """Yield one row per question of a conversation, with the columns `TAKEN` and the images of all turns.

    Args:
        row: a row of the table.
        column: name of the column of the conversation.
        image: name of the column that receives the images of the turns.
        each: if True, several questions become separate rows, without the earlier turns; if False they are an error.

    Raises:
        ValueError: the turns do not alternate between question and answer, or an image is in the middle of a text.
    """
    turns = [_turn(turn) for turn in _listed(row[column])]
    if not turns or len(turns) % 2 or any(role != ("user", "assistant")[i % 2] for i, (role, _) in enumerate(turns)):
        raise ValueError(
            f"a conversation must be a question and its answer, got turns of {shown([role for role, _ in turns])} in "
            f"column {column!r}: remove system turns and unfinished ones"
        )
    if len(turns) > 2 and not each:
        raise ValueError(
            f"a conversation must be one question and its answer, got {len(turns) // 2} in column {column!r}: make "
            "them separate rows, or use each without the earlier turns with --turns each"
        )
    images = [part for _, content in turns for part in _images(content)]
    markers = sum(_is_image(part) for _, content in turns for part in content)
    for (_, question), (_, answer) in zip(turns[::2], turns[1::2], strict=True):
        yield {
            **{name: value for name, value in row.items() if name != column},
            **({image: [*cells_of(row.get(image)), *images]} if images else {}),
            **dict(zip(TAKEN, (_text(question), _text(answer), markers), strict=True)),
        }


def _listed(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"a conversation must be a list of turns, got {shown(value)}")
    return [turn for each in value for turn in _both(each)]


def _both(turn: Any) -> list[Any]:
    """Return the two turns of a record with the keys `user` and `assistant` (The Cauldron); other turns unchanged."""
    if not _has(turn, ("user", "assistant")):
        return [turn]
    return [{"role": role, "content": turn[role]} for role in ("user", "assistant")]


def _turn(turn: Any) -> tuple[str, list[Any]]:
    """Return the role and the parts of a turn; placeholders in its text become image parts."""
    keys = next((keys for keys in (("from", "value"), ("role", "content")) if _has(turn, keys)), None)
    if keys is None:
        raise ValueError(f"a turn must be a record with from and value, or role and content, got {shown(turn)}")
    role, content = turn[keys[0]], turn[keys[1]]
    parts: list[Any] = []
    for part in content if isinstance(content, list | tuple) else [content]:
        text = part.get("text") if isinstance(part, Mapping) and not _is_image(part) else part
        parts += _cut(text) if isinstance(text, str) else [part]
    return ROLES.get(role, str(role)) if isinstance(role, str) else shown(role), parts


def _has(turn: Any, keys: Sequence[str]) -> bool:
    return isinstance(turn, Mapping) and all(turn.get(key) is not None for key in keys)


def _cut(text: str) -> list[Any]:
    pieces = re.split(f"({IMAGE})", text)
    return [{"type": "image"} if piece == IMAGE else piece for piece in pieces if piece]


def _is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("image", "image_url")


def _images(parts: Sequence[Any]) -> list[Any]:
    """Return the images among the parts, each a record with a path, an address or bytes."""
    return [held for part in parts if _is_image(part) and (held := {k: part[k] for k in PAYLOADS if part.get(k)})]


def _text(parts: Sequence[Any]) -> str:
    """Return the text of a turn without the images before and after it.

    Raises:
        ValueError: a part is neither text nor image, or an image is between two texts.
    """
    kinds = ["image" if _is_image(part) else "text" for part in parts if _is_image(part) or not _is_space(part)]
    texts = [part for part in parts if not _is_image(part)]
    if any(not isinstance(part, str) for part in texts):
        raise ValueError(f"a turn must consist of texts and images, got {shown(parts)}")
    inner = "".join("i" if kind == "image" else "t" for kind in kinds)
    if re.search("ti+t", inner):
        raise ValueError(f"images must stand before or after the text of a turn, got {shown(parts)}")
    text = "".join(texts)
    return text.strip() if "i" in inner else text


def _is_space(part: Any) -> bool:
    return isinstance(part, str) and not part.strip()
