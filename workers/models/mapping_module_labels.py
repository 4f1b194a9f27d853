"""Labels stored mapping modules with the run, trial and plan that they were tuned for, and checks the labels."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open

from workers.requests import TrialRequest


def labels(request: TrialRequest) -> dict[str, str]:
    """Return the metadata of the safetensors file that a trial stores."""
    known = {"run": request.run, "trial": request.number}
    plan = request.mapping_plan or request.plan
    return {"plan": str(plan), "digest": plan.digest} | {name: str(v) for name, v in known.items() if v is not None}


def check_labels(file: Path, request: TrialRequest) -> None:
    """Check that a stored mapping module belongs to the request that reads it.

    A label that the file or the request lacks is not compared; files of older versions have the plan only.

    Raises:
        ValueError: a label differs.
    """
    with safe_open(file, framework="pt") as stored:
        found = stored.metadata() or {}
    for name, wanted in labels(request).items():
        if found.get(name, wanted) != wanted:
            raise ValueError(f"its {name} is {found[name]}, the trial's is {wanted}")
