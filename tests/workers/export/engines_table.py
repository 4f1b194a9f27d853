"""Writes docs/deploy.md: `python -m tests.workers.export.engines_table` runs exports of many families in engines."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.workers.export.engine_models import OneProcess, base_of, run_plan
from workers.export.engines.engines import engine_version
from workers.software import versions

FAMILIES = {
    "LLaVA-1.5": "llava",
    "LLaVA-NeXT": "llava_next",
    "LLaVA-OneVision": "llava_onevision",
    "Qwen2-VL": "qwen2_vl",
    "Qwen2.5-VL": "qwen2_5_vl",
    "Qwen3-VL": "qwen3_vl",
    "Idefics3": "idefics3",
    "SmolVLM": "smolvlm",
    "PaliGemma": "paligemma",
    "Gemma 3": "gemma3",
    "InternVL3.5": "internvl",
}
PLANS = {"dense": "....", "block removed": "..b.", "sub-layers packed": ".fa.", "zeroed sub-layer": "f..."}
PLACE = Path(__file__).parents[3] / "docs" / "deploy.md"
MARK = "<!-- table -->"


def rows(families: list[str]) -> Iterator[str]:
    """Yield one row per family: largest difference of log-probabilities per plan."""
    start = OneProcess()
    reasons: list[str] = []

    def notes(title: str, reason: str) -> str:
        told = f"{title}: {reason[:110]}"
        if told not in reasons:
            reasons.append(told)
        return f" ({1 + reasons.index(told)})"

    for title, family in FAMILIES.items():
        if families and family not in families:
            continue
        with tempfile.TemporaryDirectory() as place:
            source, loaded = base_of(family, Path(place) / "base")
            ran = [
                run_plan("mlx-vlm", text, source, loaded, Path(place) / str(number), start)
                for number, text in enumerate(PLANS.values())
            ]
        cells = [
            "remote code" if run is None
            else f"{run.largest_difference:.1e}" + ("" if run.agrees else " **differs**") if run.error is None
            else "not read" + notes(title, run.error)
            for run in ran
        ]  # fmt: skip
        yield f"| {title} | {' | '.join(cells)} |"
    start.close()
    yield from ["", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))]


def main() -> None:
    """Replace the table of docs/deploy.md."""
    torch.set_num_threads(1)
    found = versions()
    engine = f"mlx-vlm {engine_version('mlx-vlm')}"
    head = [
        f"{engine}, transformers {found['transformers']}, torch {found['torch']}; CPU, float32.",
        "",
        f"| family | {' | '.join(PLANS)} |",
        f"|---|{'---|' * len(PLANS)}",
    ]
    made = []
    for row in rows(sys.argv[1:]):
        print(row, flush=True)
        made.append(row)
    before, _, rest = PLACE.read_text(encoding="utf-8").partition(f"{MARK}\n")
    _, _, after = rest.partition(f"{MARK}\n")
    PLACE.write_text(f"{before}{MARK}\n" + "\n".join([*head, *made]) + f"\n{MARK}\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
