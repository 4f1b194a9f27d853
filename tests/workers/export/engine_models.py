"""Models that engines read: small ones of several families in the form of published checkpoints, exported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from spaces.plan import Plan
from tests.workers.export.routes import stock_or_remote
from tests.workers.hub import hub_samples
from tests.workers.hub_names import save_as_on_hub
from workers.export.engines.engines import EngineFailed, EngineRun, Start, run_engine
from workers.export.route import Badge
from workers.export.stock_layers import facts_of
from workers.export.write import save_model
from workers.models.load_model import load_model
from workers.models.loaded_model import LoadedModel
from workers.pruning.inputs import PruningInputs
from workers.sources import ModelSource

TEXT: dict[str, dict[str, Any]] = {
    "paligemma": {"tie_word_embeddings": True},
    "gemma3": {"tie_word_embeddings": True},
    "internvl": {"model_type": "qwen3"},
}
"""Text settings of the published checkpoints, where they differ from those of the tests' small models."""
LOOP = """
import json, runpy, sys
for line in sys.stdin:
    script, work = json.loads(line)
    try:
        runpy.run_path(script)["main"](__import__("pathlib").Path(work))
        told = "done"
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    print("ANSWER " + told, flush=True)
"""


class OneProcess:
    """Runs scripts of engines one after another in one process, because an import of an engine takes seconds.

    Not in the process of the tests: mlx-vlm replaces processors of transformers.
    """

    def __init__(self, python: str = sys.executable, script: Path | None = None) -> None:
        """`script`, if it is given, runs instead of the engine's, by the interpreter `python`."""
        self.script = script
        self.process = subprocess.Popen(
            [python, "-I", "-c", LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def __call__(self, script: Path, work: Path) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(self.script or script), str(work)]) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("ANSWER "):
                told = line.removeprefix("ANSWER ").strip()
                break
        else:
            told = f"exit code {self.process.wait()}"
        if told != "done":
            raise EngineFailed(told)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def base_of(family: str, folder: Path) -> tuple[ModelSource, LoadedModel]:
    """Write a model of a family as a hub holds it, and load it."""
    folder.mkdir()
    source = ModelSource(name=save_as_on_hub(folder, family, **TEXT.get(family, {})), device="cpu")
    return source, load_model(source)


def run_plan(
    engine: str, text: str, source: ModelSource, loaded: LoadedModel, folder: Path, start: Start
) -> EngineRun | None:
    """Export a plan in stock layers and run it in an engine; None if stock layers cannot hold the plan."""
    route = stock_or_remote(Plan.parse(text), facts_of(loaded.model))
    if route.badge is Badge.REMOTE:
        return None
    save_model(loaded.model, route, folder, source)
    return run_engine(engine, folder, route, loaded, PruningInputs(), hub_samples("test"), start)
