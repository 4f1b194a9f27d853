"""Normalizes answers as the official VQA evaluation does (Antol et al. 2015, visualqa.org)."""

import re

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES = frozenset(("a", "an", "the"))
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"\.(?!\d)")
_COMMA_IN_NUMBER = re.compile(r"\d,\d")

# The official table has no lets, shes, wed, well, ill, im or ive: those stay as they are written.
_CONTRACTED = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't "
    "haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've "
    "might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've "
    "shouldn't shouldn't've somebody'd somebody'd've somebody'll somebody's someone'd someone'd've "
    "someone'll someone's something'd something'd've something'll that's there'd there'd've there're "
    "there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're "
    "what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're "
    "why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're "
    "you've "
)


def _one_apostrophe_left_out(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i, char in enumerate(word) if char == "'"]


_CONTRACTIONS = {written: word for word in _CONTRACTED.split() for written in _one_apostrophe_left_out(word)}


def normalized(answer: str) -> str:
    """Return an answer in lower case, without articles and punctuation, number words as digits, contractions restored.

    An answer of only an article or punctuation, which the official evaluation makes empty, is kept: "A" is a letter.
    """
    plain = " ".join(answer.split())
    words = [_DIGITS.get(word, word) for word in _without_punctuation(plain).lower().split()]
    left = [word for word in words if word not in _ARTICLES] or words
    return " ".join(_CONTRACTIONS.get(word, word) for word in left) or plain


def _without_punctuation(text: str) -> str:
    """Remove punctuation next to a space and, in a text with a number such as 1,000, all of it.

    Other punctuation is replaced by spaces.
    """
    number_with_comma = _COMMA_IN_NUMBER.search(text) is not None
    kept = text
    for mark in _PUNCTUATION:
        touches_space = f"{mark} " in text or f" {mark}" in text
        kept = kept.replace(mark, "" if touches_space or number_with_comma else " ")
    return _PERIOD.sub("", kept)
