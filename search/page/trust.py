"""Section "Whether to believe it": what speaks for the numbers, and what against."""

import re
from collections import Counter
from collections.abc import Iterator
from statistics import fmean

from search.analysis.rank_flips import rank_flips
from search.analysis.signals import signals_line
from search.console.samples import dense_note, metric_line
from search.page.numbers import points
from search.page.run_facts import RunFacts
from search.page.section import Check, Checks, Section, Text

LARGEST_OPTIMISM = 0.02
"""Mean difference of search split and test split on the front above which it is a warning."""


def trust(run: RunFacts) -> Section:
    """Return the section."""
    found = [*_tests(run), *_floor(run), *_measurements(run), *_failures(run)]
    line = metric_line(run.summary["settings"]["metric"])
    return Section("trust", "Whether to believe it", [*([Text(line)] if line else []), Checks(found)])


def _tests(run: RunFacts) -> Iterator[Check]:
    tested = [trial for trial in run.summary["front"] if trial["test"]]
    if not tested:
        yield Check(
            "open", "The front has not been tested yet: its accuracies are of the questions that it was chosen by."
        )
        return
    rung = next(rung for rung in tested[0]["rungs"] if rung["split"] == "test")
    seeds = max(len(trial["test"]["seeds"]) for trial in tested)
    again = sum(len(trial["test"]["seeds"]) > 1 for trial in tested)
    times = f"; {again} of them were tuned with {seeds} seeds" if seeds > 1 else ""
    yield Check("good", f"{len(tested)} plans of the front are tested on {rung['questions']} questions that the search "
                f"has not seen{times}.")  # fmt: skip
    optimism = fmean(trial["accuracy"] - trial["test"]["accuracy"] for trial in tested)
    yield Check(
        "warning" if optimism > LARGEST_OPTIMISM else "good",
        f"On average the front is {points(optimism)} points better on the search split than on test: trust test.",
    )
    if spreads := [s for trial in tested if (s := trial["test"]["seed_spread"]) is not None]:
        yield Check("good", f"Tuning with another seed changes a plan's accuracy by at most ±{100 * max(spreads):.1f} "
                    "points (standard deviation).")  # fmt: skip
    compared = [trial for trial in tested if "difference_interval" in trial["test"] and set(trial["plan"]) != {"."}]
    alike = [trial["number"] for trial in compared if trial["test"]["difference_interval"][1] >= 0]
    if compared:
        which = f" (trials {', '.join(map(str, alike))})" if alike else ""
        yield Check(
            "good",
            f"{len(alike)} of {len(compared)} tested plans are not shown to be worse than the dense model by these "
            f"questions{which}; all others lose.",
        )


def _floor(run: RunFacts) -> Iterator[Check]:
    floor, dense = run.summary["floor"], run.summary["dense"]
    if floor is None:
        yield Check("open", "The accuracy that is reached without looking at the images was not measured.")
        return
    level = f"{floor['accuracy']:.3f}, which {floor['by']} reaches"
    if dense is None:
        yield Check("open", f"Plans must be above {level}.")
    elif dense["accuracy"] <= floor["accuracy"]:
        yield Check("warning", f"The dense model is not above {level}: these questions do not need its eyes.")
    else:
        yield Check("good", f"The dense model reaches {dense['accuracy']:.3f}; without the images it would be "
                    f"{level}. No plan at or under that is on the front.")  # fmt: skip


def _measurements(run: RunFacts) -> Iterator[Check]:
    flips = rank_flips(run.records)
    if misleading := [each for each in flips if each.misleads]:
        yield from (Check("warning", str(each)) for each in misleading)
    elif flips:
        worst = min(flips, key=lambda each: each.tau)
        yield Check("good", f"Cheap rungs rank plans as later ones do: Kendall's tau is {worst.tau:.2f} or more.")
    if (line := signals_line(run.summary["signals"])) is not None:
        yield Check("warning", line)
    if (note := dense_note(run.results, list(run.records))) is not None:
        yield Check("warning", note)


def _failures(run: RunFacts) -> Iterator[Check]:
    failed = [record.trial.reason or "unknown" for record in run.records if record.trial.state == "failed"]
    if not failed:
        if run.records:
            yield Check("good", "No trial failed.")
        return
    reasons = Counter(re.sub(r"\d+", "#", reason) for reason in failed)
    first = {re.sub(r"\d+", "#", reason): reason for reason in reversed(failed)}
    for plain, count in reasons.most_common(3):
        yield Check("warning", f"{count} of {len(run.records)} trials failed: {first[plain][:300]}")
