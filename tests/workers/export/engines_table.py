"""Writes the tables of docs/deploy.md: exports of many families in engines.

    python -m tests.workers.export.engines_table
    python -m tests.workers.export.engines_table --engine openvino --python ENVIRONMENT/bin/python

OpenVINO needs an environment of its own, without torchvision: pip install 'optimum-intel[openvino]' torch==2.13.0.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from tests.workers.export.engine_departures import DEPARTURES, departing
from tests.workers.export.engine_models import OneProcess, base_of, run_plan
from workers.export.engines.engines import EngineRun

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
OWN_READING = ", as the engine reads it"
"""Mark of the rows that compare an engine with the dense model as that engine computes it."""
PACKAGES = {"mlx-vlm": ("mlx-vlm", "transformers", "torch"),
            "openvino": ("openvino", "optimum-intel", "transformers", "torch")}  # fmt: skip
"""Engine -> the distributions whose versions stand above its table."""


def rows(families: Sequence[str], start: OneProcess, departures: bool) -> Iterator[str]:
    """Yield one row per family: largest difference of log-probabilities per plan.

    Args:
        families: families, or none for all.
        start: runs the engine.
        departures: True to compare the engine with what is known to be its own reading of a family, too.
    """
    for title, family in FAMILIES.items():
        if families and family not in families:
            continue
        with tempfile.TemporaryDirectory() as place:
            source, loaded = base_of(family, Path(place) / "base")

            def run(text: str, name: str) -> EngineRun | None:
                return run_plan("mlx-vlm", text, source, loaded, Path(place) / name, start)  # noqa: B023

            yield f"| {title} | {' | '.join(_cell(run(text, name)) for name, text in PLANS.items())} |"
            if departures and family in DEPARTURES:
                with departing(loaded.model, family):
                    yield f"| {title}{OWN_READING} | {_cell(run('....', 'departing'))} | | | |"


def _cell(run: EngineRun | None) -> str:
    if run is None:
        return "remote code"
    if run.error is not None:
        print(run.error, file=sys.stderr)
        return "not read"
    return f"{run.largest_difference:.1e}" + ("" if run.agrees else " **differs**")


def _versions(python: str, engine: str) -> str:
    code = "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    done = subprocess.run([python, "-I", "-c", code, *PACKAGES[engine]], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main(
    families: Annotated[list[str] | None, typer.Argument(help="Families; all without.")] = None,
    engine: Annotated[str, typer.Option(help="mlx-vlm or openvino.")] = "mlx-vlm",
    python: Annotated[str, typer.Option(help="Interpreter of the engine's environment.")] = sys.executable,
) -> None:
    """Replace the rows of the families in an engine's table of docs/deploy.md, as each is measured."""
    torch.set_num_threads(1)
    script = None if engine == "mlx-vlm" else Path(__file__).parent / "run_openvino.py"
    start, found = OneProcess(python, script), _versions(python, engine)
    for row in rows(families or (), start, engine == "mlx-vlm"):
        print(row, flush=True)
        _write(f"<!-- {engine} -->\n", found, row)
    start.close()


def _write(mark: str, found: str, row: str) -> None:
    """Put a row into the table between two marks, in place of the one of the same family."""
    before, _, rest = PLACE.read_text(encoding="utf-8").partition(mark)
    table, _, after = rest.partition(mark)
    kept = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ")}
    kept.pop("family", None)
    kept[row.split("|")[1].strip()] = row
    order = [name for title in FAMILIES for name in (title, f"{title}{OWN_READING}") if name in kept]
    head = [f"{found}; CPU, float32.", "", f"| family | {' | '.join(PLANS)} |", f"|---|{'---|' * len(PLANS)}"]
    made = "\n".join([*head, *(kept[name] for name in order)])
    PLACE.write_text(f"{before}{mark}{made}\n{mark}{after}", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
