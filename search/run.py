"""`python -m search.run`: searches a model for cheaper plans and ends with a Pareto front."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from search.loop.problem import Problem
    from search.settings import Settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


def _data(help: str, *names: str) -> Any:
    """An option that says how the data set is read."""
    return typer.Option(*names, help=help, rich_help_panel="Data")


@app.command()
def run(
    budget: Annotated[int | None, typer.Option(help="Trials in all, baselines and scan included. [200]")] = None,
    space: Annotated[str | None, typer.Option(help="interval, blocks, layers, scoped or full. [layers]")] = None,
    prunings: Annotated[str | None, typer.Option(help="What space full may prune by, e.g. ffn50,h50,w50/ffn.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Mask file that the pruning `saved` uses.")] = None,
    minimize: Annotated[str | None, typer.Option(help="flops, or sparse_flops: without zero weights. [flops]")] = None,
    strategy: Annotated[str | None, typer.Option(help="One of search/strategies/. [guided]")] = None,
    model: Annotated[str | None, typer.Option(help="embedded, a hub id, or a local folder. [embedded]")] = None,
    dataset: Annotated[str | None, _data("embedded, a hub id, or a local folder. [embedded]")] = None,
    dataset_config: Annotated[str | None, _data("Configuration (subset), where it has several.")] = None,
    dataset_revision: Annotated[str | None, _data("Revision of the data set on the hub.")] = None,
    image_column: Annotated[str | None, _data("Images, or their paths. [guessed]")] = None,
    question_column: Annotated[str | None, _data("Questions; a set without is captioned. [guessed]")] = None,
    answer_column: Annotated[str | None, _data("Answers, captions, or the right choice. [guessed]")] = None,
    choices_column: Annotated[str | None, _data("Options of a multiple choice. [guessed]")] = None,
    kind_column: Annotated[str | None, _data("Kind of question, for accuracy per kind. [guessed]")] = None,
    train_split: Annotated[str | None, _data("Tunes the projector. [guessed]")] = None,
    tune_split: Annotated[str | None, _data("Says whether tuning helped. [guessed, or from train]")] = None,
    search_split: Annotated[str | None, _data("Scores trials. [guessed, or from train]")] = None,
    test_split: Annotated[str | None, _data("Scores the final front. [guessed, or from train]")] = None,
    max_train: Annotated[int | None, _data("Rows to tune on at most. [2048]")] = None,
    max_tune: Annotated[int | None, _data("Rows that say whether tuning helped, at most. [256]")] = None,
    max_eval: Annotated[int | None, _data("Rows to search on, and to test on, at most. [all]")] = None,
    streaming: Annotated[bool | None, _data("Read no more than these limits ask for.", "--streaming")] = None,
    max_unreadable: Annotated[float | None, _data("Share of images that may be unreadable. [0.01]")] = None,
    prompt: Annotated[str | None, _data("What is asked, with {question} and {choices}. [by task]")] = None,
    choices_as: Annotated[str | None, _data("Choices are answered with their letter or text. [letter]")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. [runs/NAME]")] = None,
    storage: Annotated[str | None, typer.Option(help="Database URL. [sqlite:///OUT/search.db]")] = None,
    workers: Annotated[int | None, typer.Option(help="1: in this process; more: on Ray Tune. [1]")] = None,
    ray_address: Annotated[str | None, typer.Option(help="A running Ray cluster: auto or ray://HOST:PORT.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(help="GPUs each Ray worker holds. [0]")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides everything that is drawn. [0]")] = None,
    final_seeds: Annotated[int | None, typer.Option(help="Seeds of tuning the final front is tested with. [3]")] = None,
    max_flops: Annotated[float | None, typer.Option(help="At most this share of the dense FLOPs, e.g. 0.6.")] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(help="Plans below this accuracy do not count, e.g. 0.9.")
    ] = None,
    focus: Annotated[str | None, typer.Option(help="Range of FLOPs that effort goes to, e.g. 0.4:0.7.")] = None,
    rungs: Annotated[str | None, typer.Option(help="steps:questions per rung. [0:256,10:512,50:all]")] = None,
    metric: Annotated[
        str | None, typer.Option(help="exact_match, strict_match, vqa, anls, cider, choice or loss. [by data]")
    ] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds a trial may take. [1800]")] = None,
    patience: Annotated[
        float | None, typer.Option(help="Seconds to wait for a database, disk or device that is away. [600]")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of a worker. [cores / workers]")] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of the model on the hub.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16. [float32]")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or auto. [auto]")] = None,
    attn_implementation: Annotated[str | None, typer.Option(help="As in transformers. [sdpa]")] = None,
    trust_remote_code: Annotated[bool | None, typer.Option("--trust-remote-code", help="As in transformers.")] = None,
    trainable: Annotated[
        str | None, typer.Option(help="mapping, lora:r=8,alpha=16 or globs of weights. [mapping]")
    ] = None,
    callbacks: Annotated[str | None, typer.Option(help="Ray Tune callbacks: tensorboard,wandb,mlflow.")] = None,
    warm_start: Annotated[
        list[str] | None, typer.Option(help="Plans to try first: a run's folder or URL, an EvoPress or LLM-Drop file.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings; the command line wins.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, create nothing.")] = False,
) -> None:
    """Search which blocks, attention or FFN layers to skip or run in parallel.

    The same command takes up a search that was stopped, in any way, where it was.
    """
    from search.console.terminal import one_line_errors

    given = {
        "budget": budget, "space": space, "strategy": strategy, "out": out, "storage": storage, "seed": seed,
        "prunings": prunings.split(",") if prunings else None, "minimize": minimize,
        "model.masks": str(masks) if masks else None,
        "workers": workers, "ray_address": ray_address, "gpus_per_trial": gpus_per_trial, "metric": metric,
        "max_flops": max_flops, "time_limit": time_limit, "patience": patience, "threads": threads,
        "model.name": model, "model.revision": revision, "model.dtype": dtype, "model.device": device,
        "model.attn_implementation": attn_implementation, "model.trust_remote_code": trust_remote_code,
        "model.trainable": trainable, "warm_start": warm_start or None,
        "min_accuracy": min_accuracy, "focus": focus, "rungs": rungs, "final_seeds": final_seeds,
        "callbacks": callbacks.split(",") if callbacks else None,
        "dataset.name": dataset, "dataset.config": dataset_config, "dataset.revision": dataset_revision,
        "dataset.image_column": image_column, "dataset.question_column": question_column,
        "dataset.answer_column": answer_column, "dataset.choices_column": choices_column,
        "dataset.kind_column": kind_column, "dataset.train_split": train_split, "dataset.tune_split": tune_split,
        "dataset.search_split": search_split, "dataset.test_split": test_split, "dataset.max_train": max_train,
        "dataset.max_tune": max_tune, "dataset.max_eval": max_eval, "dataset.streaming": streaming,
        "dataset.max_unreadable": max_unreadable, "dataset.prompt": prompt, "dataset.choices_as": choices_as,
    }  # fmt: skip
    with one_line_errors():
        settings, problem = _resolve(config, given)
        if dry_run:
            from search.console.dry_run import describe

            describe(settings, problem)
        else:
            from search.dispatch.whole_search import WholeSearch

            raise typer.Exit(WholeSearch(settings, problem).run())


def _resolve(config: Path | None, given: dict[str, Any]) -> "tuple[Settings, Problem]":
    from search.loop.problem import Problem
    from search.settings import load_settings, parse_focus, parse_rungs

    given = {name: value for name, value in given.items() if value is not None}
    if "rungs" in given:
        given["rungs"] = parse_rungs(given["rungs"])
    if "focus" in given:
        given["focus"] = parse_focus(given["focus"])
    settings = load_settings(config, given)
    problem = Problem.resolve(settings)
    return problem.settings, problem


if __name__ == "__main__":
    app()
