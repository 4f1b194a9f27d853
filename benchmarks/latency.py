"""Predicted against measured latency, and speed-ups against FLOPs: `python -m benchmarks.latency --model embedded`.

The table of times is measured as at the start of a search. Then random plans of the space `layers` are timed in turns
with the dense model, and plans that skip every block but evenly spaced ones are compared with what their FLOPs say:
applied to the loaded model, and as exported folders.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.folder_speed import folder_speedup
from benchmarks.origin import heading
from objectives.flops import costs
from objectives.latency import TimeTable
from objectives.workload import Workload
from search.quantities import with_stated
from spaces.plan import Op, Plan
from spaces.spaces import load_space
from workers.describe import describe_model, describe_workload
from workers.evaluation.latency import time_against_dense
from workers.models.model_files import checkpoint
from workers.requests import TrialRequest
from workers.sources import ModelSource
from workers.trial import Worker

SKIPPED = (0.25, 0.5, 0.75)
"""Shares of the blocks that are skipped for the comparison with FLOPs."""
LARGE = {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 14, "num_attention_heads": 12,
         "num_key_value_heads": 12, "head_dim": 64}  # fmt: skip
"""Text config of the model of 100 million random parameters; the rest is that of the embedded model."""


def random_model(folder: Path, seed: int) -> Path:
    """Write the embedded model with a larger decoder of random weights, and return the folder."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    source = checkpoint(ModelSource())
    config = AutoConfig.from_pretrained(source)
    for name, value in LARGE.items():
        setattr(config.text_config, name, value)
    if getattr(config.text_config, "layer_types", None):
        config.text_config.layer_types = None
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    AutoProcessor.from_pretrained(source).save_pretrained(folder)
    return folder


def skipping(share: float, num_blocks: int) -> Plan:
    """Return the plan that skips evenly spaced blocks.

    Args:
        share: share of the blocks that are skipped.
        num_blocks: number of blocks.
    """
    order = np.argsort([(index * 0.61803398875) % 1 for index in range(num_blocks)])
    left_out = set(order[: round(share * num_blocks)].tolist())
    return Plan.of(Op.SKIP_BLOCK if index in left_out else Op.KEEP for index in range(num_blocks))


class Subject:
    """A loaded model whose latencies are measured."""

    def __init__(self, source: ModelSource, stated: str | None, threads: int, seed: int) -> None:
        self.shape = describe_model(source)
        dense = Plan.dense(self.shape.num_blocks)
        self.request = TrialRequest(plan=dense, model=source, threads=threads, seed=seed)
        self.worker = Worker()
        self.session = self.worker.open(self.request)
        self.workload: Workload = with_stated(describe_workload(source, self.session.samples("search")), stated)
        self.request = self.request.model_copy(update={"workload": self.workload})
        self.space = load_space("layers", self.shape.num_blocks, self.shape.kinds)

    def table(self) -> TimeTable:
        """Return the measured table of times."""
        return self.worker.times(self.request, [self.space.choices(index) for index in range(self.space.num_blocks)])

    def measure(self, plan: Plan) -> dict[str, float]:
        """Return the latency of a plan and its speed-up over the dense model."""
        import torch

        torch.set_num_threads(self.request.threads or torch.get_num_threads())
        return time_against_dense(self.session, plan, self.workload)

    def by_flops(self, plan: Plan) -> float:
        """Return the speed-up that the FLOPs of a plan say."""
        return 1 / costs(self.shape, plan, self.workload).flops_ratio


def compare(subject: Subject, table: TimeTable, plans: Sequence[Plan]) -> list[dict[str, Any]]:
    """Return one row per plan: predicted and measured seconds, and speed-ups predicted, measured and by FLOPs.

    A prediction is the share of the dense time that the table gives, times the dense time of the same turns, as in
    `search.report`; `by the table` are the milliseconds of the table.
    """
    dense = table.predict(Plan.dense(subject.shape.num_blocks)).total
    rows = []
    for plan in plans:
        measured, of_table = subject.measure(plan), table.predict(plan).total
        rows.append(
            {
                "plan": str(plan),
                "predicted": of_table / dense * measured["dense_total_median"],
                "by the table": of_table,
                "measured": measured["total_median"],
                "iqr": measured["total_iqr"],
                "predicted speed-up": dense / of_table,
                **{f"speed-up {name}": measured[f"speedup_{name}"] for name in ("low", "median", "high")},
                "by FLOPs": subject.by_flops(plan),
            }
        )
        print(_line(rows[-1]), flush=True)
    return rows


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['plan']:16} predicted {row['predicted'] * 1e3:7.2f} ms, measured {row['measured'] * 1e3:7.2f} ms "
        f"(iqr {row['iqr'] * 1e3:.2f}); speed-up predicted {row['predicted speed-up']:.2f}, measured "
        f"{row['speed-up median']:.2f} [{row['speed-up low']:.2f}, {row['speed-up high']:.2f}], "
        f"by FLOPs {row['by FLOPs']:.2f}"
    )


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return median relative errors and Spearman's rank correlations, of latencies and of speed-ups."""
    from scipy.stats import spearmanr

    def correlation(predicted: str, measured: str) -> float:
        return float(spearmanr([row[predicted] for row in rows], [row[measured] for row in rows]).statistic)

    return {
        "median error": median(abs(row["predicted"] / row["measured"] - 1) for row in rows),
        "median error by the table": median(abs(row["by the table"] / row["measured"] - 1) for row in rows),
        "median error of speed-ups": median(
            abs(row["predicted speed-up"] / row["speed-up median"] - 1) for row in rows
        ),
        "rank correlation": correlation("predicted", "measured"),
        "rank correlation of speed-ups": correlation("predicted speed-up", "speed-up median"),
    }


def main(
    model: Annotated[str, typer.Option(help="embedded, or random for 100 million random parameters.")] = "embedded",
    plans: Annotated[int, typer.Option(help="Number of random plans.")] = 20,
    workload: Annotated[str | None, typer.Option(help="As --workload of search.run.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of weights and plans.")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file for all numbers.")] = None,
) -> None:
    """Print one line per plan, then the summary."""
    with tempfile.TemporaryDirectory() as folder:
        source = ModelSource(name="embedded" if model == "embedded" else str(random_model(Path(folder), seed)))
        subject = Subject(source, workload, threads, seed)
        table = subject.table()
        skipped = [skipping(share, subject.shape.num_blocks) for share in SKIPPED]
        folders = [folder_speedup(subject.session, source, plan, subject.workload) for plan in skipped]
    tokens = f"{subject.workload.prompt_tokens:g}+{subject.workload.generated_tokens:g}"
    print(heading("Latency", model=model, threads=threads, seed=seed, tokens=tokens, batch=subject.workload.batch))
    print({key: value for key, value in table.origin.items() if key not in ("versions", "commit")}, table.dense)
    generator = np.random.default_rng(seed)
    rows = compare(subject, table, [subject.space.sample(generator) for _ in range(plans)])
    found = summarize(rows)
    print("; ".join(f"{key} {value:.3f}" for key, value in found.items()))
    skips = compare(subject, table, skipped)
    reached = {
        what: {f"{share:.0%}": up / row["by FLOPs"] for share, row, up in zip(SKIPPED, skips, ups, strict=True)}
        for what, ups in {"plan": [row["speed-up median"] for row in skips], "folder": folders}.items()
    }
    for what, shares in reached.items():
        told = {key: round(value, 3) for key, value in shares.items()}
        print(f"speed-up of the {what} as a share of what FLOPs say:", told)
    if out is not None:
        record = {"table": table.to_dict(), "plans": rows, "skips": skips, **found, "reached": reached}
        out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    typer.run(main)
