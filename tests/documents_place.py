"""A folder in which the commands of the documents run: a finished small run, a tiny model, a small data set.

Searches are made small by options at their end, where the last one counts. What can't run here is in `NOT_HERE`, each
with its reason.
"""

import re
import shutil
from importlib import import_module
from pathlib import Path

from search.__main__ import app
from tests.command import call
from tests.documents import Example
from tests.test_docs import ROOT
from tests.workers.saved_data import choices, questions, save
from tests.workers.tiny import save_tiny

TRIAL = "2"
"""A complete trial of the run, in place of those that the documents name."""
SMALL = (
    "--rungs",
    "0:64",
    "--max-train",
    "128",
    "--max-eval",
    "64",
    "--budget",
    "4",
    "--final-seeds",
    "1",
    "--threads",
    "1",
    "--workers",
    "1",
)
OTHER_MODEL = ("--space", "blocks", "--allow-blind", "--budget", "2")
"""Further options where a model of random weights stands in for one that would have to be downloaded."""
INSTEAD = {
    "RUN": "runs/first", "OTHER": "runs/other", "FILE": "file", "N": TRIAL, "19": TRIAL,
    "llava-hf/llava-1.5-7b-hf": "models/mine", "lmms-lab/VQAv2": "data/mine", "real/model": "models/mine",
    "real/easy-vqa": "data/mine", "bfloat16": "float32", "runs/two": "runs/first", "0.97": "0.5",
}  # fmt: skip
"""Word of a document -> what stands in for it."""
LAST = {
    "run": SMALL,
    "tune": ("--steps", "2", "--every", "1"),
    "export": ("--questions", "16", "--engines", "none", "--force"),
}
"""Command -> options that make it short."""
NOT_HERE = {
    r"docker": "needs a Docker engine; tests/docker/ checks the files",
    r"(ray up|kubectl|sbatch)": "needs a cluster; tests/docker/ runs the scripts with stand-ins and checks the files",
    r".*--ray-address": "needs a Ray cluster; tests/search/dispatch/test_ray_cluster.py starts one",
    r".*--routed": "needs a router that is better than chance; tests/workers/export/test_routed.py exports one",
    r".*--task ": "needs lmms-eval in an environment of its own; `make lmms` runs its tests",
    r"(make|pip) ": "installs packages or runs all tests",
    r"python -m workers.pretrained(\.training\.recipe| build)": "fetches packages from a registry, or trains",
    r"python -m workers.embedded.training": "trains for an hour",
    r".*--model benchmarks/data/chains": "takes twenty minutes",
    r"python -m benchmarks": "takes minutes to hours",
    r"python -m tests": "writes documents, some after an hour",
    r".*(serve|dashboard)( --out \w+)?$": "serves until Ctrl-C; tests/search/page/ starts both",
}
"""Pattern at the beginning of a command -> reason for which it isn't run."""


def reason_not_to_run(example: Example) -> str | None:
    """Return why an example isn't run, or None."""
    if example.is_python and "import " not in example.text:
        return "a fragment, which imports nothing and uses names of its reader"
    if example.in_sentence and re.fullmatch(r"(skipsearch \w+|python -m [\w.]+)", example.text):
        return "names a command, without its options"
    return next((why for start, why in NOT_HERE.items() if re.match(start, example.text)), None)


def make_place(folder: Path) -> Path:
    """Write what the commands need, and run the search that most of them read."""
    save_tiny(folder / "models" / "mine")
    for name, rows in (("mine", questions), ("signs", choices)):
        splits = {"train": rows(16), "validation": rows(6, 100), "test": rows(6, 200)}
        save("parquet", folder / "data" / name, splits)
    shutil.copytree(ROOT / "examples", folder / "examples")
    done = call(app, "run", "--out", "runs/first", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    shutil.copytree(folder / "runs" / "first", folder / "runs" / "other")
    return folder


def short(example: Example) -> list[str]:
    """Return the command, without `skipsearch` or `python -m`, that stands for a documented one."""
    words = [INSTEAD.get(word, word) for word in example.words]
    words = [words[2].removeprefix("search."), *words[3:]] if words[0] == "python" else words[1:]
    other = OTHER_MODEL if words[0] == "run" and "models/mine" in words else ()
    return [*words, *(LAST.get(words[0], ()) if "--help" not in words else ()), *other]


def run_command(example: Example, folder: Path) -> str:
    """Run a documented command in the folder and return what it prints; its output goes where the document says."""
    words = short(example)
    if words[0].startswith("workers."):
        done = call(import_module(f"{words[0]}.__main__").app, *words[1:], cwd=folder)
    else:
        done = call(app, *words, cwd=folder)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    if example.destination:
        (folder / example.destination).write_text(done.stdout)
    return done.stdout
