"""Makes a trained mapping module that of the package: `python -m benchmarks.paper.ship_mapping OUT`.

OUT is the folder of `workers.pretrained.training.staged`. The module is shipped only if it is more accurate on `tune`
than the shipped one; its course of training is stored for docs/real-model.md. Afterwards build the model folder again,
then run `benchmarks.paper.dense`, `one_shot`, `real_model` and `page` of this package.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.paper.models import STORE
from workers.pretrained.model_folder import MAPPING_FILE
from workers.software import commit

COURSE = STORE / "training-smollm2.json"
SAID = """\
`python -m workers.pretrained.training.staged`, {tokens} steps of 72 questions with a visual token per color and
  shape, then {steps} steps of 56 questions with images, {minutes} CPU minutes on one thread. Accuracy on {questions}
  questions of `tune`, the best of which is shipped:"""


def ship(out: Path, file: Path = MAPPING_FILE, course: Path = COURSE) -> float:
    """Copy the module and store its course; return its accuracy on `tune`.

    Args:
        out: folder of the training.
        file: the shipped module.
        course: the stored course of the shipped module's training.

    Raises:
        ValueError: the training isn't finished, or its module isn't more accurate than the shipped one.
    """
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    planned = [row["schedule"]["steps"] for row in rows if "schedule" in row][-1]
    examined = [row for row in rows if "accuracy" in row]
    if not examined or examined[-1]["step"] < planned:
        raise ValueError(f"a shipped module must be trained to the end ({planned} steps), got {out}: go on with it")
    best = max(row["accuracy"] for row in examined)
    before = max(row["accuracy"] for row in json.loads(course.read_text())["rows"] if "accuracy" in row)
    if best <= before:
        raise ValueError(f"a shipped module must be better than {before:.4f} on tune, got {best:.4f}: nothing changed")
    shutil.copyfile(out / "mapping.safetensors", file)
    trained = [row for row in examined if row["loss"] is not None]
    course.write_text(json.dumps({"said": _said(rows, planned), "rows": trained, "commit": commit()}, indent=1) + "\n")
    return float(best)


def _said(rows: list[dict[str, Any]], steps: int) -> str:
    tokens = max(row["step"] for row in rows if row.get("stage") == "class tokens")
    following = [*rows[1:], {"schedule": {}}]  # CPU seconds begin anew with every process
    seconds = sum(row["cpu_seconds"] for row, after in zip(rows, following, strict=True) if "schedule" in after)
    return SAID.format(tokens=tokens, steps=steps, minutes=round(seconds / 60), questions=256)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    print(f"shipped; accuracy on tune {ship(parser.parse_args().out):.4f}")


if __name__ == "__main__":
    main()
