"""Texts of Optuna Dashboard: note and attributes of the study, note and numbers of the trials on the front."""

from typing import Any

from search.page.numbers import Trial, accuracy, difference, flops, latency, milliseconds, weights
from search.page.run_facts import RunFacts
from search.run_command import run_command
from spaces.agreement import agreement


def study_attributes(run: RunFacts) -> dict[str, Any]:
    """Return the attributes of the study: model, data, metric, command, commit, floor and settings."""
    settings, floor = run.summary["settings"], run.summary["floor"]
    return {
        "model": settings["model"]["name"],
        "data": settings["dataset"]["name"],
        "metric": run.metric,
        "command": run_command(settings),
        "commit": run.summary["origin"].get("commit") or "unknown",
        "floor": floor["accuracy"] if floor else "not measured",
        **{f"setting {name}": value for name, value in settings.items()},
    }


def study_note(run: RunFacts) -> str:
    """Return the note of the study in Markdown: what was searched and how, what was found, and the next commands."""
    settings, counts = run.summary["settings"], run.summary["counts"]
    state = "finished" if run.summary["finished"] else "not finished"
    lines = [
        f"**{run.summary['run']}**: model `{settings['model']['name']}`, data `{settings['dataset']['name']}`, space "
        f"`{settings['space']}`, strategy `{settings['strategy']}`, seed {settings['seed']}, "
        f"{counts['trials']} of {run.summary['budget']} trials, {state}.",
        f"Run with: `{run_command(settings)}`",
        "Accuracies are of the test split unless another is named, with 95 % intervals. FLOPs are per question, as a "
        "share of those of the dense model. A point is 0.01 of accuracy.",
        agreement(run.plans),
    ]
    if dense := run.summary["dense"]:
        lines.append(f"Dense: accuracy {accuracy(dense)}, {flops(dense)}.")
    lines += [_choice(run, choice.words, choice.record.trial.number) for choice in run.choices]
    return "\n\n".join(line for line in lines if line)


def _choice(run: RunFacts, words: str, number: int) -> str:
    trial = run.described(number)
    return (
        f"- **{words}**: trial {number}, {', '.join(_numbers(trial))}. Runs as {_routes(trial)}. "
        f"`{run.export_command(number)}`"
    )


def _numbers(trial: Trial) -> list[str]:
    """Return share of FLOPs, accuracy, and the difference to dense where both were tested."""
    against = difference(trial)
    found = [f"{trial['flops_ratio']:.1%} of the dense FLOPs", f"accuracy {accuracy(trial)}"]
    return [*found, f"{against} against dense"] if against else found


def trial_note(run: RunFacts, trial: Trial) -> str:
    """Return what the note of a trial on the front, or of the dense one, says about its results, in Markdown.

    Args:
        run: the run.
        trial: the trial, as in the summary.
    """
    prefill, decode = (milliseconds(latency(trial, step)) for step in ("prefill", "decode"))
    lines = [
        "**On the front**" if trial["number"] in {each.trial.number for each in run.front} else "",
        ", ".join(_numbers(trial)),
        f"{flops(trial)} per question, {weights(trial)} of weights"
        + (f", prefill {prefill}, {decode} per token" if prefill else ""),
        f"Runs as: {_routes(trial)}",
        f"Export: `{run.export_command(trial['number'])}`",
    ]
    return "\n\n".join(line for line in lines if line)


def _routes(trial: Trial) -> str:
    """Return the routes of deployment that can hold the plan, with its FLOPs there."""
    if trial["routes"] is None:
        return "not recorded: `search.export` names it"
    return ", ".join(f"{name} ({ratio:.1%} of dense)" for name, ratio in trial["routes"].items() if ratio is not None)


def trial_numbers(trial: Trial) -> dict[str, Any]:
    """Return the attributes of a trial on the front, or of the dense one, by which the list of trials can be sorted."""
    test = trial["test"] or {}
    found = {
        "test accuracy": test.get("accuracy"),
        "difference to dense": test.get("difference_to_dense"),
        "share of dense accuracy": trial["retention"],
        "prefill ms": latency(trial, "prefill"),
    }
    return {name: value for name, value in found.items() if value is not None}
