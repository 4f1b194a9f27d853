"""The dense pretrained model on `test`: `python -m benchmarks.paper.dense --folder DIR`.

Measures it with the right image features and with those of another image, and stores both with the most common answer
to the text of each question. Features are exchanged between packed questions, so the dtype must allow packing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.paper.models import METRIC, MIXED, Subject, open_subject, save
from workers.data.load_split import load_split
from workers.evaluation.evaluate import evaluate


def measure_dense(subject: Subject, questions: int) -> None:
    """Store the dense model's scores on `test`, with its own pictures and with others."""
    session = subject.session
    test = session.split("test")
    blind = replace(test, features=test.features.roll(1, dims=0), _packs={})
    scores = [evaluate(session.loaded, split, METRIC, questions).scores for split in (test, blind)]
    samples = test.samples[:questions]
    train = load_split(session.data_source, "train").samples
    save(
        f"dense-{subject.name}.npz",
        {
            "scores": np.packbits(np.array(scores) > 0.5, axis=1),
            "kinds": np.array([sample.kind for sample in samples]),
            "answers": np.array([sample.answers[0] for sample in samples]),
            "asked": np.array([sample.question for sample in samples]),
            "images": subject.images("test", questions),
            "train_asked": np.array([sample.question for sample in train]),
            "train_answers": np.array([sample.answers[0] for sample in train]),
        },
        subject.origin(split="test", questions=questions),
    )
    print(f"dense {np.mean(scores[0]):.4f}, with other pictures {np.mean(scores[1]):.4f}", flush=True)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the pretrained model")
    parser.add_argument("--questions", type=int, default=1024)
    parser.add_argument("--dtype", default=MIXED)
    arguments = parser.parse_args()
    measure_dense(open_subject("smollm2", arguments.folder, arguments.dtype), arguments.questions)


if __name__ == "__main__":
    main()
