"""The command `python -m search.export`: exports trials of a run as model folders."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.command_line import Command
from workers.export.route import FORMATS

if TYPE_CHECKING:
    from search.analysis.select_trials import Selected
    from workers.export.request import ExportRequest

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def export(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    to: Annotated[Path, typer.Option(help="Folder to write; must be new.")],
    storage: Annotated[str | None, typer.Option(help="Database URL. Default: search.db in the folder.")] = None,
    trial: Annotated[int | None, typer.Option(help="Export this trial.")] = None,
    plan: Annotated[str | None, typer.Option(help="Export this plan, tuned if the run has a trial of it.")] = None,
    knee: Annotated[bool, typer.Option("--knee", help="Export the knee of the front.")] = False,
    max_flops: Annotated[
        float | None, typer.Option(help="Export the most accurate plan up to this ratio to the dense FLOPs.")
    ] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="Export the cheapest plan with this accuracy.")] = None,
    min_retention: Annotated[
        float | None, typer.Option(help="Export the cheapest plan that keeps this fraction of the dense accuracy.")
    ] = None,
    front: Annotated[bool, typer.Option("--front", help="The whole front, one folder each.")] = False,
    routed: Annotated[bool, typer.Option("--routed", help="Export the router of search.route with its plans.")] = False,
    form: Annotated[str, typer.Option("--format", help=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto (the search's), float32, bfloat16 or float16.")] = "auto",
    questions: Annotated[
        int | None, typer.Option(min=1, help="Number of test questions that check the export. Default: all.")
    ] = None,
    mapping: Annotated[
        str, typer.Option(help="Mapping module: auto (that of search.tune if there is one), search or tuned.")
    ] = "auto",
    engines: Annotated[
        str, typer.Option(help="Engines to run the folder in: auto (all installed), none, or names with commas.")
    ] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that is there already.")] = False,
    push_to_hub: Annotated[str | None, typer.Option(help="Upload the finished folder to this hub repository.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Create the hub repository as a private one.")] = False,
) -> None:
    """Export a plan as a model folder, checked by loading it in a fresh process."""
    rules = {
        "trial": trial, "plan": plan, "knee": knee or None, "max_flops": max_flops, "min_accuracy": min_accuracy,
        "min_retention": min_retention, "front": front or None, "routed": routed or None,
    }  # fmt: skip
    given = {rule: value for rule, value in rules.items() if value is not None}
    with _stopping_cleanly(to):
        export_plan(
            out, to, storage=storage, form=form, dtype=dtype, questions=questions, engines=engines, force=force,
            mapping=mapping, push_to_hub=push_to_hub, private=private, **given,
        )  # fmt: skip


@contextmanager
def _stopping_cleanly(to: Path) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one line and exit code 130 inside the `with` block, and a ValueError into 2."""
    import signal

    from search.console.terminal import one_line_errors

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with one_line_errors():
            yield
    except KeyboardInterrupt:
        typer.echo(f"stopped: {to} is unchanged", err=True)
        raise typer.Exit(130) from None


def export_plan(
    out: Path | str, to: Path | str, *, storage: str | None = None, form: str = "auto", dtype: str = "auto",
    questions: int | None = None, engines: str = "auto", mapping: str = "auto", force: bool = False,
    push_to_hub: str | None = None, private: bool = False, say: Any = print, **rule: Any,
) -> list[int | None]:  # fmt: skip
    """Export the trials of a run that one rule selects.

    Args:
        out: folder of the run.
        to: folder to write.
        storage, form, dtype, questions, engines, mapping, force, push_to_hub, private: the options of the command.
        say: called with lines for the user.
        **rule: one of `trial=ID`, `plan=TEXT`, `knee=True`, `max_flops=R`, `min_accuracy=A`, `min_retention=S`,
            `front=True`, `routed=True`.

    Returns:
        The numbers of the exported trials; None for a plan without a complete trial in the run.

    Raises:
        ValueError: the export is not possible; one line with the reason. `to` is unchanged.
    """
    from search.routing.export_router import export_router
    from workers.export.folder import check_target
    from workers.export.hub import check_repository, push

    name, value = _only(rule)
    if name == "routed":
        _check_routed(form, dtype, mapping, engines, push_to_hub)
        return export_router(Path(out), Path(to), storage, questions, force, say)
    _check_push(name, push_to_hub, private)
    options = {"form": form, "dtype": dtype, "questions": questions, "engines": _names(engines), "mapping": mapping}
    chosen, requests = _requests(Path(out), storage, name, value, options)
    to = Path(to)
    check_target(to.absolute(), force)
    if push_to_hub:
        check_repository(push_to_hub, force)
    _say_what(chosen, requests.values(), say)

    from workers.export.write import export  # imports torch

    export(requests, to, force, say)
    say(f"Written: {to}")
    if push_to_hub:
        say(f"Pushed: {push(to, push_to_hub, private)}")
    return [each.record.trial.number if each.record else None for each in chosen]


def _say_what(chosen: "Sequence[Selected]", requests: "Iterable[ExportRequest]", say: Any) -> None:
    for each in chosen:
        say(f"{_title(each)}: {each.why}")
    for request in requests:
        if tuning := request.record.get("tuning"):
            say(f"Mapping module: that of search.tune, {tuning['steps']} steps; --mapping search takes the search's")


def _names(engines: str) -> tuple[str, ...]:
    """Return the names of a comma-separated option; none for `none`."""
    return () if engines == "none" else tuple(name.strip() for name in engines.split(","))


def _check_routed(form: str, dtype: str, mapping: str, engines: str, push_to_hub: str | None) -> None:
    """Raise ValueError if an option is given that does not apply to a router."""
    given = {"--format": form != "auto", "--dtype": dtype != "auto", "--mapping": mapping != "auto",
             "--engines": engines not in ("auto", "none"), "--push-to-hub": push_to_hub is not None}  # fmt: skip
    for option in (option for option, is_given in given.items() if is_given):
        raise ValueError(f"{option} does not apply to --routed, got both: leave it out")


def _check_push(rule: str, repository: str | None, private: bool) -> None:
    """Raise ValueError if the options for the hub cannot be combined."""
    if repository and rule == "front":
        raise ValueError("--push-to-hub takes one model, got --front with several: export one of its trials")
    if private and not repository:
        raise ValueError("--private needs --push-to-hub, got no repository: name the repository, or leave it out")


def _only(rule: dict[str, Any]) -> tuple[str, Any]:
    from search.analysis.select_trials import RULES
    from spaces.names import unknown

    known = ("trial", "plan", *RULES, "routed")
    for name in rule:
        if name not in known:
            raise unknown("rule of export", name, known)
    if len(rule) != 1:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in known)
        got = " and ".join(f"--{name.replace('_', '-')}" for name in rule) or "none"
        raise ValueError(f"an export needs exactly one of {options}, got {got}: say which trial to export")
    return next(iter(rule.items()))


def _requests(
    out: Path, storage: str | None, rule: str, value: Any, options: dict[str, Any]
) -> "tuple[list[Selected], dict[str, ExportRequest]]":
    """Return the plans that a rule selects, and their requests by the folder that each is written to."""
    from search.analysis.export_request import request_of
    from search.analysis.select_trials import select
    from search.analysis.summary import limits_of
    from search.storage.find_run import open_results

    results = open_results(out, storage)
    try:
        records = results.records()
        limits = limits_of(results.run, records)
        chosen = select(records, results.run.origin["num_blocks"], rule, value, limits)
        return chosen, {_folder_name(each, rule): request_of(results, each, out, **options) for each in chosen}
    finally:
        results.close()


def _title(chosen: "Selected") -> str:
    return f"Trial {chosen.record.trial.number}" if chosen.record else f"Plan {chosen.plan}"


def _folder_name(chosen: "Selected", rule: str) -> str:
    """Return the folder of an export relative to the target: one per trial for a front, else the target itself."""
    return f"trial-{chosen.record.trial.number:06d}" if rule == "front" and chosen.record else "."


if __name__ == "__main__":
    app()
