"""Speed of exported plans from image to last token: `python -m benchmarks.export_speed`.

Every plan is exported from the embedded model as by `search.export`. The process that checks an export lets it and the
dense model answer the same questions alternately; their median seconds are compared.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.origin import heading
from spaces.plan import Plan
from workers.export.request import ExportRequest
from workers.export.write import export
from workers.requests import Rung, TrialRequest

PLANS = "b...b...b...,.b.b.b.b.b.b,bbb.bbb.bbb.,fafafafafafa,pppppppppppp,.b.bv.b.bv.b.bv,......()()()"
"""Plans measured by default."""


def measure(plan: Plan, folder: Path, threads: int) -> dict[str, float]:
    """Export a plan and return case -> speed-up over the dense model, and the remaining shares of FLOPs and parameters.

    Args:
        plan: plan of the embedded model.
        folder: folder to write.
        threads: CPU threads of both models.
    """
    trial = TrialRequest(plan=plan, rungs=(Rung(split="test"),), threads=threads)
    export({".": ExportRequest(trial=trial, questions=64)}, folder, say=lambda _: None)
    record = json.loads((folder / "plan.json").read_text())
    ratios = {case: each["dense"] / each["exported"] for case, each in record["measured"]["seconds"].items()}
    sizes = record["measured"]["parameters"]
    return {
        **ratios,
        "FLOPs left": record["costs"]["flops_ratio"],
        "parameters left": sizes["exported"] / sizes["dense"],
    }


def main(
    plans: Annotated[str, typer.Option(help="Plans of 12 blocks, separated by commas.")] = PLANS,
    threads: Annotated[int, typer.Option(help="CPU threads of both models.")] = 1,
) -> None:
    """Print one row per plan."""
    print(heading("Speed of exports", model="embedded", threads=threads))
    folder = Path(tempfile.mkdtemp())
    for number, plan in enumerate(map(Plan.parse, plans.split(","))):
        row = measure(plan, folder / str(number), threads)
        print(f"{plan!s:24}" + "; ".join(f"{name} {value:.2f}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    typer.run(main)
