"""CIDEr-D against the formula of the paper, written out with dictionaries and loops."""

from math import exp, log, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.cider import cider, words
from tests.fast import draws

word = st.sampled_from(["a", "cat", "dog", "red", "sits", "on"])
caption = st.lists(word, max_size=8).map(" ".join)
corpora = st.lists(st.tuples(caption, st.lists(caption, min_size=1, max_size=3)), min_size=2, max_size=6)


def ngrams(text, n):
    tokens = text.split()
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]


def formula(candidate, references, corpus):
    """Vedantam et al. 2015, equations 1 to 4, with the clipping and the length penalty (sigma 6) of CIDEr-D.

    The reference code measures lengths in bigrams; so does this.
    """
    total = 0.0
    for n in (1, 2, 3, 4):

        def weights(text, n=n):
            found = ngrams(text, n)
            in_documents = {gram: sum(any(gram in ngrams(r, n) for r in refs) for refs in corpus) for gram in found}
            return {gram: found.count(gram) * (log(len(corpus)) - log(max(1, in_documents[gram]))) for gram in found}

        for reference in references:
            mine, theirs = weights(candidate), weights(reference)
            norms = sqrt(sum(w * w for w in mine.values())) * sqrt(sum(w * w for w in theirs.values()))
            product = sum(min(w, theirs.get(gram, 0.0)) * theirs.get(gram, 0.0) for gram, w in mine.items())
            apart = len(ngrams(candidate, 2)) - len(ngrams(reference, 2))
            total += (product / norms if norms else product) * exp(-(apart**2) / (2 * 6.0**2))
    return total / 4 / len(references)


@settings(max_examples=draws(60))
@given(corpora)
def test_equals_the_formula(corpus):
    candidates, references = [text for text, _ in corpus], [refs for _, refs in corpus]
    expected = [formula(text, refs, references) for text, refs in corpus]
    assert cider(candidates, references) == pytest.approx(expected, abs=1e-9)


def test_a_caption_worked_out_by_hand():
    """Two documents, one reference each; every n-gram of the first is in it alone, so all weigh ln 2.

    The candidate has 2 of its 3 words and 1 of its 2 bigrams: 2/3, 1/2, no trigram, no 4-gram; equal lengths.
    """
    (value,) = cider(["red cat sits"], [["red cat sleeps"], ["two dogs"]])
    assert value == pytest.approx((2 / 3 + 1 / 2) / 4)


def test_its_own_reference_is_1_and_nothing_in_common_0():
    references = [["the red cat sits"], ["a blue dog runs"]]
    assert cider(["the red cat sits", "one two three four"], references) == pytest.approx([1.0, 0.0])


def test_all_references_of_the_split_weigh_the_words():
    """'cat' has weight 0 where every image has one; scored alone, as in a rung of one question, it is the same."""
    references = [["a cat sleeps"], ["a cat runs"], ["one dog"]]
    assert cider(["a cat"], references) == cider(["a cat", "a dog", "x"], references)[:1]
    assert cider(["a cat sleeps"], references) > cider(["a cat sleeps"], [*references[:1], *[["a cat sleeps"]] * 9])


def test_words_are_lower_case_without_punctuation():
    assert words("A cat, that's RED -- on a café's roof.") == "a cat that's red on a café's roof"


def test_a_missing_library_is_told(monkeypatch):
    monkeypatch.setattr("objectives.cider.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'skipsearch\[captions\]'"):
        cider(["a"], [["a"], ["b"]])
