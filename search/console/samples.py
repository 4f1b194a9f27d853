"""Shows the answers of a plan and of the dense model: as a table for the terminal, or as JSON lines."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from objectives.metrics import METRICS
from objectives.sentences import sentence_note
from search.analysis.explain import dense_trial, trial_of
from search.analysis.samples import answered_questions, most_informative
from search.analysis.select_trials import select
from search.analysis.summary import dense_of, limits_of
from search.storage.results import Results, TrialRecord
from spaces.names import shown
from workers.reports import RungReport

LONGEST = 160
"""Maximum number of characters shown of a question or an answer."""


def samples_table(results: Results, records: Sequence[TrialRecord], count: int, number: int | None) -> Group:
    """Return a title and a table of questions with the answers of a trial and of the dense model.

    Args:
        results: results of the run.
        records: all trials of the run.
        count: maximum number of questions, most informative first.
        number: number of the trial; None for the knee of the front.

    Raises:
        ValueError: there is no such trial, or the run has no stored answers.
    """
    record = _chosen(results, records, number)
    answered = list(answered_questions(results, dense_trial(records), record))
    informative = most_informative(answered, count) if answered else []
    split = f" on the {informative[0].split} split" if informative else ""
    title = f"What trial {record.trial.number} ({record.trial.plan}) answered{split}, its losses first"
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("id", "question", "accepted", "dense", "this plan"):
        table.add_column(name, overflow="fold")
    for each in informative:
        table.add_row(
            Text(each.question_id),
            _text(each.question),
            _text(" | ".join(dict.fromkeys(each.accepted))),
            _text(each.dense_answer, each.dense_score),
            _text(each.answer, each.score),
        )
    return Group(Text(title), table)


def write_samples(results: Results, records: Sequence[TrialRecord], number: int | None, file: Path) -> int:
    """Write all answered questions of trials as JSON lines; return their number.

    Args:
        results: results of the run.
        records: all trials of the run.
        number: number of the trial; None for all trials of the front and the dense one.
        file: file to write.

    Raises:
        ValueError: there is no such trial, the run has no stored answers, or the file can't be written.
    """
    dense = dense_trial(records)
    chosen = (
        [
            record
            for each in select(records, 0, "front", limits=limits_of(results.run, records))
            if (record := each.record)
        ]
        if number is None
        else []
    )
    wanted = {
        record.trial.number: record for record in ([dense, *chosen] if chosen else [_chosen(results, records, number)])
    }
    try:
        with file.open("w", encoding="utf-8") as lines:
            return sum(lines.write(line) > 0 for line in _lines(results, dense, list(wanted.values())))
    except OSError as error:
        raise ValueError(f"--samples-to must be a writable file, got {file} ({error.strerror}): name another") from None


def dense_note(results: Results, records: Sequence[TrialRecord]) -> str | None:
    """Return a warning if the dense model answers in sentences, or None."""
    dense = dense_of(records)
    kept = results.answers(dense.trial.number) if dense else {}
    found = next((kept[key] for key in sorted(kept) if key[0] == "search"), None)
    if dense is None or found is None:
        return None
    accepted = [question.accepted for question in found.asked]
    return sentence_note(results.run.settings["metric"], found.answers, accepted, dense.on("search")[-1].scores)


def examples(report: RungReport, count: int = 3) -> list[str]:
    """Return a line per question with answer and accepted answer, for the `count` questions with the lowest scores."""
    rows = sorted(zip(report.scores, report.asked or (), report.answers, strict=False), key=lambda row: row[0])
    return [
        f"  {shown(asked.question)}: {shown(answer)}, accepted {shown(asked.accepted[0])}"
        for _, asked, answer in rows[:count]
    ]


def metric_line(metric: str | None) -> str | None:
    """Return a line with the meaning of accuracy under a metric, or None if the metric is unknown."""
    return f"Accuracy by {metric}: 1 where {METRICS[metric].meaning}." if metric in METRICS else None


def _lines(results: Results, dense: TrialRecord, records: Sequence[TrialRecord]) -> Iterator[str]:
    for record in records:
        for each in answered_questions(results, dense, record):
            yield json.dumps(each.as_dict(), ensure_ascii=False) + "\n"


def _chosen(results: Results, records: Sequence[TrialRecord], number: int | None) -> TrialRecord:
    if number is None:
        (knee,) = select(records, 0, "knee", limits=limits_of(results.run, records))
        assert knee.record is not None
        return knee.record
    return trial_of(records, number)


def _text(text: str, score: float | None = None) -> Text:
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return Text(cut, style="" if score is None or score > 0 else "red")
