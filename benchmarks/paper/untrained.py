"""Finding 1, how much can be skipped without training: `python -m benchmarks.paper.untrained embedded`.

Runs the paper's interval rule with every op, interval and start, the first blocks only, and the same for visual and for
generated tokens alone, on the questions of `test`. Nothing is trained. The result is stored in benchmarks/data/paper.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.paper.models import Subject, open_subject, save, texts
from spaces.patterns import pattern

OPS = ("skip_block", "skip_attn", "skip_ffn", "parallel")
INTERVALS = (2, 3, 4, 6, 8)
SCOPES = ("visual", "generated")


def names(num_blocks: int) -> Iterator[str]:
    """Yield the names of the measured patterns, dense first."""
    starts = (0, num_blocks // 4, num_blocks // 2)
    yield "dense"
    for op in OPS:
        yield from (f"interval-{interval}:{op}@{start}" for start in starts for interval in INTERVALS)
        yield f"interval-1:{op}@-1"
    for scope in SCOPES:
        for op in OPS[:3]:
            yield from (f"interval-{interval}:{op}:{scope}@0" for interval in (1, 2, 4))
    yield from (f"first-{num_blocks * share // 8}" for share in range(7, 0, -1))
    yield from (f"first-{num_blocks * share // 4}:skip_block:visual" for share in (3, 2, 1))


def measure(subject: Subject, questions: int) -> None:
    """Evaluate every pattern and store the scores."""
    chosen = {name: pattern(name, subject.num_blocks) for name in names(subject.num_blocks)}
    scores = []
    for name, plan in chosen.items():
        scores.append(subject.scores(plan, "test", questions))
        print(f"{name:34} {subject.flops_ratio(plan):.3f} {scores[-1].mean():.3f}", flush=True)
    save(
        f"untrained-{subject.name}.npz",
        {
            "names": np.array(list(chosen)),
            "plans": texts(chosen.values()),
            "costs": np.array([subject.flops_ratio(plan) for plan in chosen.values()]),
            "scores": np.packbits(np.array(scores), axis=1),
            "images": subject.images("test", questions),
        },
        subject.origin(split="test", questions=questions),
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", choices=("embedded", "smollm2"))
    parser.add_argument("--folder", type=Path, help="of the pretrained model")
    parser.add_argument("--questions", type=int, default=1024)
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    measure(open_subject(arguments.subject, arguments.folder, arguments.dtype), arguments.questions)


if __name__ == "__main__":
    main()
