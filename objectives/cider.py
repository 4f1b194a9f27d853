"""The metric CIDEr-D of captions (Vedantam et al. 2015, arXiv 1411.5726), computed by `pycocoevalcap`.

The library is an extra (`skipsearch[captions]`), imported when a caption is scored. It depends on numpy only.
"""

import re
from collections.abc import Sequence
from importlib.util import find_spec

SCALE = 10.0
"""Official score of a caption that equals all of its references."""


def check_cider() -> None:
    """Check that `pycocoevalcap` is installed.

    Raises:
        ValueError: it is not.
    """
    if find_spec("pycocoevalcap") is None:
        raise ValueError("the metric cider needs pycocoevalcap, which is missing: pip install 'skipsearch[captions]'")


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Return CIDEr-D / 10 of each caption, from 0 to 1.

    A score of 1.2 ("120") in the literature is 0.12 here. Words are lower-cased and stripped of punctuation by a
    regular expression. The COCO server uses the Java tokenizer of the Penn Treebank; its scores differ in the third
    digit.

    Args:
        captions: one caption per image, for the first images of the corpus.
        references: per image of the corpus, of which there must be at least two, the reference captions. Word
            frequencies are counted over the corpus, since rare words have more weight.

    Raises:
        ValueError: `pycocoevalcap` is not installed.
    """
    check_cider()
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    answers = [*captions, *[""] * (len(references) - len(captions))]
    scorer = CiderScorer(n=4, sigma=6.0)
    for text, given in zip(answers, references, strict=True):
        scorer += (words(text), [words(each) for each in given])
    scorer.ctest = scorer.ctest[: len(captions)]  # score these only
    scorer.compute_doc_freq()
    return [min(float(score) / SCALE, 1.0) for score in scorer.compute_cider()]


def words(text: str) -> str:
    """Return the words of a text, lower-cased and separated by single spaces."""
    return " ".join(re.findall(r"\w+(?:'\w+)?", text.lower()))
