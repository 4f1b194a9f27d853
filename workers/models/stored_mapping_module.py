"""Labels stored mapping modules with the run, trial and plan that they were tuned for, and reads them back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from workers.models.trainable import put_state
from workers.requests import TrialRequest


def labels(request: TrialRequest) -> dict[str, str]:
    """Return the metadata of the safetensors file that a trial stores."""
    known = {"run": request.run, "trial": request.number}
    plan = request.mapping_plan or request.plan
    return {"plan": str(plan), "digest": plan.digest} | {name: str(v) for name, v in known.items() if v is not None}


def read_mapping_module(weights: Mapping[str, nn.Parameter], file: Path, request: TrialRequest) -> None:
    """Put a stored mapping module into the weights of a model.

    Args:
        weights: the trained weights of the model, changed in place.
        file: the file that a trial stored.
        request: the request that reads it.

    Raises:
        ValueError: the file is missing, belongs to another model, or was tuned for another plan, trial or run.
    """
    try:
        _check_labels(file, request)
        put_state(weights, load_file(file))
    except (OSError, SafetensorError, ValueError) as error:
        why = " ".join(str(error).split())
        raise ValueError(
            f"a mapping module must be one that a trial stored for this plan, got {file} ({why}): give the file in the "
            "run's artifacts folder, or restore it"
        ) from None


def _check_labels(file: Path, request: TrialRequest) -> None:
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
