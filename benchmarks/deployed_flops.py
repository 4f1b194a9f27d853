"""FLOPs counted in exported fronts, beside those of the front: `python -m benchmarks.deployed_flops --deploy ROUTE`.

A search with `--deploy` runs on the embedded model. Every plan of its front is exported by that route, loaded from the
folder, and answers one question under torch's counter.
"""

import argparse
import copy
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.origin import heading
from search.dispatch.whole_search import WholeSearch
from search.loop.problem import Problem
from search.notebook import load_run
from search.settings import Settings
from spaces.plan import Plan
from workers.blocks.anatomy import anatomy_of
from workers.data.load_split import load_samples
from workers.export import fresh_process, modeling_decilm, modeling_skipsearch
from workers.export.part_paths import path_of
from workers.export.route import Badge, Route, export_route
from workers.export.stock_layers import build, facts_of
from workers.models.load_model import load_model
from workers.models.loaded_model import LoadedModel
from workers.requests import Deploy, Rung
from workers.sources import DataSource

GENERATED = 3
"""Tokens per answer."""
QUICK = (Rung(questions=16), Rung(questions=64))
"""Rungs of the search: FLOPs do not depend on tuning."""


class Row(NamedTuple):
    """One plan of a front."""

    plan: str
    shown: float
    """FLOPs ratio on the front, for the mean question."""
    counted: int
    """FLOPs of one question that torch counts in the folder."""
    expected: float
    """FLOPs of that question by the closed form of the front."""


def count_front(problem: Problem) -> Iterator[Row]:
    """Yield a row for every plan of the front of a finished search."""
    loaded = load_model(problem.settings.model)
    sample = load_samples(problem.settings.dataset, "test")[0]
    prompt = loaded.prompt_encoder.prompt(sample.question, len(sample.images))
    inputs = fresh_process.encode(loaded.processor, [prompt], [sample.images], loaded.device)
    visual = int(torch.isin(inputs["input_ids"], torch.tensor(sorted(anatomy_of(loaded.model).image_tokens))).sum())
    tokens = {"visual_tokens": visual, "text_tokens": inputs["input_ids"].shape[1] - visual}
    workload = replace(problem.workload, **tokens, generated_tokens=GENERATED, images=len(sample.images))
    form = "auto" if problem.settings.deploy == "any" else problem.settings.deploy
    for _, trial in load_run(problem.settings.run_folder).front.iterrows():
        plan = Plan.parse(trial["plan"])
        with tempfile.TemporaryDirectory() as name:
            route = export_route(plan, facts_of(loaded.model), form)
            build(loaded.model, route).save_pretrained(name)
            counted = _counted(_load(Path(name), route, loaded), inputs, loaded.pad_token)
        expected = problem.deployment.costs(problem.shape, plan, workload).flops
        yield Row(str(plan), trial["flops_ratio"], counted, expected)


def _load(folder: Path, route: Route, loaded: LoadedModel) -> Any:
    """Return the model of an exported folder; a language model alone is put into the base model."""
    kind = type(loaded.model)
    if route.badge is Badge.REMOTE:
        kind = getattr(modeling_skipsearch, f"{modeling_skipsearch.PREFIX}{kind.__name__}")
    if not route.badge.is_language_model:
        return kind.from_pretrained(folder, attn_implementation="eager").eval()
    whole = kind(copy.deepcopy(loaded.model.config)).eval()
    language = modeling_decilm.DeciLMForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    whole.set_submodule(path_of(loaded.model, anatomy_of(loaded.model).decoder), language.model)
    whole.set_submodule(path_of(loaded.model, loaded.model.get_output_embeddings()), language.lm_head)
    whole.config.text_config = language.config
    return whole


def _counted(model: Any, inputs: dict[str, Any], pad: int) -> int:
    model.set_attn_implementation("eager")
    model.requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        fresh_process.generate(model, inputs, pad, GENERATED, GENERATED)
    return int(counter.get_total_flops())


def search_and_count(deploy: Deploy, budget: int, folder: Path, seed: int = 0) -> list[Row]:
    """Run a search for a route on the embedded model and return the rows of its front.

    Raises:
        RuntimeError: the search did not finish.
    """
    options = {"final_seeds": 1, "threads": 1, "rungs": QUICK, "seed": seed, "dataset": DataSource(max_eval=64)}
    problem = Problem.resolve(Settings(deploy=deploy, budget=budget, out=folder, **options))
    if code := WholeSearch(problem.settings, problem).run():
        raise RuntimeError(f"the search must finish, got exit code {code}")
    return list(count_front(problem))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deploy", default="transformers")
    parser.add_argument("--budget", type=int, default=60)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = search_and_count(args.deploy, args.budget, Path(name) / "run")
    print(heading("FLOPs of exported plans", model="embedded", deploy=args.deploy, trials=args.budget, seed=0))
    print("| plan | FLOPs on the front | counted in the folder | closed form, same question | equal |")
    print("|---|---|---|---|---|")
    for row in rows:
        same = "yes" if row.counted == row.expected else "NO"
        print(f"| `{row.plan}` | {row.shown:.4f} | {row.counted:,} | {row.expected:,.0f} | {same} |")


if __name__ == "__main__":
    main()
