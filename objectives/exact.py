"""The metrics of exact match: an answer is one of the accepted ones, by the rule of evaluation harnesses or literally.

The tasks of lmms-eval and lm-evaluation-harness for GQA and VQA ignore letter case, punctuation and articles
(`ignore_case`, `ignore_punctuation`; the official VQA evaluation removes articles). Here, only punctuation around the
answer is ignored: inside, as in "3.5" or "12:30", it is part of the answer. Signs, units and single quotes
("-5", "50%", "5'") stay too.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_CLOSING, _OPENING = frozenset(".,;:!?…。、，！？；："), frozenset(",;:!?…¿¡。、，！？；：")
_PAIRS = {pair[0]: pair[1] for pair in ("''", '""', "``", "**", "__", "()", "[]", "{}", "“”", "‘’", "«»", "„“")}
_WIDE = {0x3000: " "} | {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
"""Full-width form of an ASCII character -> the character, as code points; some tokenizers can't write the former."""
_INVISIBLE = "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
"""Marks of zero width, such as those of the writing direction, which don't count at either end."""
_ARTICLES = frozenset(("a", "an", "the"))


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if the prediction is one of the answers, else 0.

    Letter case, extra space, full width, punctuation around the answer, and articles are ignored.
    """
    return float(essential(prediction) in {essential(answer) for answer in answers})


def strict_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 if the prediction is one of the answers, else 0. Only letter case and extra space are ignored."""
    return float(_folded(prediction) in {_folded(answer) for answer in answers})


@lru_cache(maxsize=65536)
def essential(text: str) -> str:
    """Return a text in lower case and normal width, without punctuation around it and without articles.

    A text of punctuation only is kept. An article at the end is kept as a letter: "A", "vitamin a".
    """
    before, left = "", _folded(text.translate(_WIDE))
    while left != before:
        before, left = left, _without_articles(_unwrapped(left))
    return left or _folded(text)


def _folded(text: str) -> str:
    """Return a text in lower case with single spaces; an accent is the same as part of its letter or behind it."""
    return unicodedata.normalize("NFC", " ".join(text.split()).strip(_INVISIBLE).strip().casefold())


def _without_articles(text: str) -> str:
    words = text.split()
    return " ".join([word for word in words[:-1] if word not in _ARTICLES] + words[-1:])


def _unwrapped(text: str) -> str:
    """Return the text without one layer of punctuation at either side, or of enclosing quotes, brackets or emphasis."""
    if len(text) > 1 and _PAIRS.get(text[0]) == text[-1]:
        return text[1:-1].strip()
    if text[-1:] in _CLOSING or (text.endswith(")") and "(" not in text):
        return text[:-1].rstrip()
    return text[1:].lstrip() if text[:1] in _OPENING else text
