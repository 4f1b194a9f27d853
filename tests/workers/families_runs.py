"""A search of three trials and an export for a family, by the commands as a user runs them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import torch
from transformers import AutoModelForImageTextToText
from typer.testing import CliRunner

import search.export
import search.run
from spaces.plan import Plan
from tests.workers.hub import save_hub
from tests.workers.saved_data import questions, save
from tests.workers.whole import case_of, generated
from workers.apply_plan import apply_plan
from workers.export import modeling_skipsearch
from workers.export.route import Badge, export_route
from workers.export.stock_layers import build, facts_of

TRIALS = 3
VIDEO_REFUSED = "without its video part, which needs"
"""Part of the line by which an export refuses a processor whose video part could not be loaded."""
SPLITS = {"train": questions(12), "validation": questions(3, 100), "test": questions(2, 200)}
OPTIONS = ("--budget", str(TRIALS), "--rungs", "0:4,1:all", "--metric", "loss", "--allow-blind")
OPTIONS += ("--device", "cpu", "--threads", "1", "--seed", "0")
REMOVED = Plan.parse("..b.")
"""The exported plan: a block that stock transformers can leave out."""


@cache
def data_folder() -> str:
    """Return the folder of a small data set with four splits' worth of questions about pictures."""
    return save("parquet", Path(mkdtemp()) / "data", SPLITS)


def runs(family: str) -> tuple[str, str]:
    """Return what a search of three trials and an export of the family came to: `done`, or why not."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        model, out = save_hub(folder / "model", family), folder / "run"
        words = ["--model", model, "--dataset", data_folder(), *OPTIONS, "--out", str(out)]
        done = CliRunner().invoke(search.run.app, words)
        if done.exit_code:
            return f"wrong: {_last_line(done.output)}", "not run"
        if f"{TRIALS} of {TRIALS} trials" not in done.output or "0 failed" not in done.output:
            return f"wrong: {done.output}", "not run"
        return "done", _export(family, out, folder / "made")


def _export(family: str, run: Path, to: Path) -> str:
    words = ["--out", str(run), "--to", str(to), "--plan", str(REMOVED), "--engines", "none", "--questions", "4"]
    made = CliRunner().invoke(search.export.app, words)
    if VIDEO_REFUSED in made.output.replace("\n", " "):
        return _export_without_processor(family, to)
    if made.exit_code:
        return f"wrong: {_last_line(made.output)}"
    record = json.loads((to / "plan.json").read_text())
    same = record["checked"]["accuracy"] == record["checked"]["in_search_accuracy"]
    return record["badge"] if same else "wrong: other answers than the search's"


def _export_without_processor(family: str, to: Path) -> str:
    """Save and load the model's part of an export, and compare what it generates with the search's model."""
    case = case_of(family)
    route = export_route(REMOVED, facts_of(case.model))
    build(case.model, route).save_pretrained(to)
    kind = AutoModelForImageTextToText
    if route.badge is Badge.REMOTE:
        kind = getattr(modeling_skipsearch, f"Skipsearch{type(case.model).__name__}")
    loaded = kind.from_pretrained(to, attn_implementation="eager", dtype=torch.float32).eval()
    if "Experts" in str(loaded):
        loaded.set_experts_implementation("eager")
    tokens, logits = generated(loaded, case.inputs)
    with apply_plan(case.model, REMOVED):
        wanted_tokens, wanted = generated(case.model, case.inputs)
    same = torch.equal(tokens, wanted_tokens) and torch.allclose(logits, wanted, rtol=0, atol=1e-5 * wanted.abs().max())
    return f"{route.badge}, without processor" if same else "wrong: other answers than the search's"


def _last_line(output: str) -> str:
    return " ".join(output.split())[-300:]
