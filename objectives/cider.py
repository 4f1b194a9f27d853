"""CIDEr-D of captions (Vedantam et al. 2015, arXiv 1411.5726) through `pycocoevalcap`, the COCO evaluation's own code.

The library is an extra (`skipsearch[captions]`), imported when a caption is scored; it needs no more than numpy.
"""

import re
from collections.abc import Sequence
from importlib.util import find_spec

SCALE = 10.0
"""The official score of a caption that equals all of its references."""


def check_cider() -> None:
    """Raises ValueError where the library is missing."""
    if find_spec("pycocoevalcap") is None:
        raise ValueError("the metric cider needs pycocoevalcap, which is missing: pip install 'skipsearch[captions]'")


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D / 10 of every caption, from 0 to 1.

    A caption of the literature's 1.2 ("120") is 0.12 here. Words are lower-cased and stripped of punctuation by a
    regular expression, where the COCO server runs the Java tokenizer of the Penn Treebank: expect its numbers to
    differ in the third digit.

    Args:
        captions: of the first images.
        references: of all images of the corpus, two at least: rare words weigh more, and that is counted here.
    """
    check_cider()
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    asked = [*captions, *[""] * (len(references) - len(captions))]
    scorer = CiderScorer(n=4, sigma=6.0)
    for text, given in zip(asked, references, strict=True):
        scorer += (words(text), [words(each) for each in given])
    scorer.ctest = scorer.ctest[: len(captions)]  # it scores no more than these
    scorer.compute_doc_freq()
    return [min(float(score) / SCALE, 1.0) for score in scorer.compute_cider()]


def words(text: str) -> str:
    """The words of a text, lower-cased, with single spaces between."""
    return " ".join(re.findall(r"\w+(?:'\w+)?", text.lower()))
