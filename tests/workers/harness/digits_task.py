"""A task of lmms-eval on the questions of the embedded data, written to a folder."""

import io
from pathlib import Path

import yaml
from datasets import Dataset, Features, Image, Value

from workers.data.sample import Sample
from workers.embedded import embedded_samples

FUNCTIONS = """
def visuals(doc):
    return [doc["image"]]
"""
EXACT = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True}
GENERATES = {
    "output_type": "generate_until",
    "generation_kwargs": {"max_new_tokens": 16, "temperature": 0},
    "metric_list": [EXACT],
}
CHOOSES = {
    "output_type": "multiple_choice",
    "doc_to_choice": ["yes", "no", "purple"],
    "target_delimiter": "",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


def samples(number: int, kind: str | None = None) -> list[Sample]:
    """Return the first questions of the test split, of one kind or of all."""
    return [each for each in embedded_samples("test") if kind in (None, each.kind)][:number]


def write_task(folder: Path, chosen: list[Sample], name: str, **settings) -> None:
    """Write the YAML file of a task, its functions, and its data set.

    Args:
        folder: the folder for `--include_path`.
        chosen: the rows of the test split.
        name: name of the task.
        **settings: further keys of the YAML file.
    """
    data = folder / f"{name}-data"
    data.mkdir(parents=True)
    features = Features({"image": Image(), "question": Value("string"), "answer": Value("string")})
    rows = [{"image": _png(each), "question": each.question, "answer": each.answers[0]} for each in chosen]
    Dataset.from_list(rows, features=features).to_parquet(data / "test.parquet")
    (folder / "functions.py").write_text(FUNCTIONS)
    task = {"task": name, "dataset_path": str(data), "test_split": "test", "doc_to_text": "question"}
    task |= {"doc_to_target": "answer", "dataset_kwargs": {"data_files": {"test": "test.parquet"}}, **settings}
    text = yaml.safe_dump(task) + "doc_to_visual: !function functions.visuals\n"
    (folder / f"{name}.yaml").write_text(text)


def _png(sample: Sample) -> dict[str, bytes]:
    file = io.BytesIO()
    sample.image.save(file, "PNG")
    return {"bytes": file.getvalue()}
