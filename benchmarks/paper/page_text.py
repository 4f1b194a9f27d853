"""The fixed text of docs/paper.md."""

INTRODUCTION = """\
# The source paper's findings, measured again

<!-- Written by `python -m benchmarks.paper.page`: change the words in benchmarks/paper/page_text.py. -->

"Skipping Computations in Multimodal LLMs" (arXiv 2410.09454) studies frozen language models of 7B with a small trained
mapping module. It reports that many computations can be skipped without training; that a mapping module trained with
50 % of the blocks skipped keeps at least 97 % of the accuracy; and that a smaller model, trained properly, matches one
two to three times larger. This page repeats the measurements on two small models:

- **the embedded model** ([embedded-model.md](embedded-model.md)): 12 blocks; language model and mapping module were
  trained together for this package;
- **SmolLM2-135M** ([real-model.md](real-model.md)): 30 blocks, pretrained and frozen, with a frozen vision tower; only
  the mapping module was trained for this package.

FLOPs are relative to the dense model, the vision tower included. Intervals are 95 %, bootstrap over whole images.
"""

UNTRAINED = """\
## 1. How much can be skipped without training

On `test`. Patterns are named as in `spaces/patterns.py`: `interval-K:OP@START` changes every K-th block behind START
and before the last one, `first-K` keeps the first K blocks. `visual` and `generated` change those tokens alone; the
first token of an answer comes from the prompt, so that a skip for generated tokens acts from the second on.
"""

RUN = {
    "embedded": "`python -m benchmarks.paper.untrained embedded`",
    "smollm2": (
        "`python -m benchmarks.paper.one_shot --folder DIR`: the paper's interval rule, and for each of its plans one "
        "found on `search` with at most its FLOPs. That search is simple: every attention and FFN is skipped alone, "
        "then those that lose the least margin alone are skipped together. The most common answer to the text of the "
        "question has an accuracy of {by_text:.3f}; the dense model with the image of another question, {blind:.3f}."
    ),
}

TRAINED = """\
## 2. Training with the skips active

`python -m benchmarks.paper.trained SUBJECT --plans FILE`: the mapping module is trained from random weights under the
plan, with the same steps, rate and order of the data for every plan. The dense row is the same training without skips.
`python -m benchmarks.paper.equal_flops --to FILE` writes the plans of SmolLM2: as many blocks skipped by the paper's
interval rule, behind the first blocks, and by a plan of a search.
"""

CLOSING = """\
## What this does not show

Both models are small, and the questions are simple. Redundancy between blocks grows with depth and width, so that a 7B
model can lose more blocks than these; nothing here confirms or refutes the paper's numbers at its size. The dense
SmolLM2 answers yes-no questions by their text alone, so that a plan keeps this accuracy even if it ignores the image;
use the accuracy on color and shape to compare plans.

Not run: training from scratch under plans (finding 2) where marked above, the intersected Wanda masks at 70 % of
the weights, a smaller model trained properly against a deep one with blocks skipped (finding 3), brief tuning of the
plans of SmolLM2, and searches by the strategies of `search/strategies/` on it.
"""
