"""`python -m search.tune`: tunes the mapping module of one plan for long, with the plan active, and keeps the best."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.command_line import Command

if TYPE_CHECKING:
    from workers.long_tuning_request import LongTuning

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def tune(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    trial: Annotated[int, typer.Option(help="Number of a complete trial.")],
    storage: Annotated[str | None, typer.Option(help="Database URL. Default: search.db in the folder.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Maximum number of steps.")] = 2000,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start from random weights.")] = False,
    trainable: Annotated[
        str | None, typer.Option(help="Weights to tune, as in search.run. Default: those of the run.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Steps between evaluations on the tune split.")] = 100,
    stop_after: Annotated[int, typer.Option(min=1, help="Evaluations without a new best before tuning ends.")] = 5,
    restart: Annotated[bool, typer.Option("--restart", help="Drop an earlier tuning of this trial.")] = False,
) -> None:
    """Tune the mapping module of one plan for long, with the plan active.

    The weights that are best on the tune split are kept in RUN/tuned, tested once on the test split, and exported by
    search.export. Run the same command again to continue a tuning that was stopped or died.
    """
    import shutil
    import signal

    from search.console.terminal import one_line_errors

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM stops it like Ctrl-C
    with one_line_errors():
        request = _request(out, storage, trial, trainable, steps, every, stop_after, from_scratch)
        from workers.long_tuning import tune_long  # imports torch
        from workers.long_tuning_request import tuned_folder

        folder = tuned_folder(out, trial)
        if restart:
            shutil.rmtree(folder, ignore_errors=True)
        typer.echo(f"Trial {trial}: {request.trial.plan}, {steps} steps from {_start(request)}")
        try:
            record = tune_long(request, folder, typer.echo)
        except KeyboardInterrupt:
            typer.echo("stopped: the same command continues at the last evaluation", err=True)
            raise typer.Exit(130) from None
    test, best = record["test"], record["best"]
    low, high = test["interval"]
    typer.echo(
        f"Best on the tune split: {best['tune_accuracy']:.4f} at step {best['step']}. On test: {test['accuracy']:.4f} "
        f"[{low:.4f}, {high:.4f}], {test['questions']} questions.\nKept: {folder}\n"
        f"Export it: python -m search.export --out {out} --trial {trial} --to DIR"
    )


def _request(
    out: Path, storage: str | None, trial: int, trainable: str | None, steps: int, every: int, stop_after: int,
    from_scratch: bool,
) -> "LongTuning":  # fmt: skip
    """Return the request; low-rank adapters and weights of another choice start from the dense model."""
    from search.analysis.explain import finished_trial
    from search.analysis.export_request import trial_request
    from search.analysis.select_trials import Selected
    from search.storage.find_run import open_results
    from workers.long_tuning_request import LongTuning

    results = open_results(out, storage)
    try:
        record = finished_trial(results.records(), trial)
        request = trial_request(results, Selected(record.plan, record, "named"), out)
    finally:
        results.close()
    other = trainable is not None and trainable != request.model.trainable
    if other:
        model = type(request.model).model_validate({**request.model.model_dump(), "trainable": trainable})
        request = request.model_copy(update={"model": model})
    if other or from_scratch:
        request = request.model_copy(update={"mapping_module": None})
    return LongTuning(trial=request, steps=steps, every=every, stop_after=stop_after, from_scratch=from_scratch)


def _start(request: "LongTuning") -> str:
    if request.from_scratch:
        return "random weights"
    return "the mapping module of the search" if request.trial.mapping_module else "the mapping module of the model"


if __name__ == "__main__":
    app()
