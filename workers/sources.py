"""Defines the settings of model and data set. Imports no torch."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from spaces.names import shown
from workers.lora_options import parse_lora
from workers.message import Message

Split = Literal["train", "tune", "search", "test"]
"""Splits of the search: `train` for tuning, `tune` to accept it, `search` for trials, `test` for the final front."""


def _is_trainable(text: str) -> str:
    parse_lora(text)
    return text


def _is_name(name: str) -> str:
    if len(name) > 4096 or any(len(part) > 255 for part in name.split("/")) or not name.isprintable():
        raise ValueError(f"a name must be a hub id, a file or a folder, got {shown(name)}")
    return name


Name = Annotated[str, AfterValidator(_is_name)]


class ModelSource(Message):
    """The model of a trial and how it is loaded."""

    name: Name = "embedded"
    """`embedded`, a Hugging Face hub id, or a local folder."""
    revision: str | None = None
    """Revision of the model on the hub."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Data type of the weights; auto is that of the checkpoint."""
    attn_implementation: str = "sdpa"
    """Attention implementation of transformers, sdpa or eager."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    trainable: Annotated[str, AfterValidator(_is_trainable)] = "mapping"
    """Weights to tune: `mapping`, the module between vision tower and decoder; `lora` or `lora:r=8,alpha=16`, low-rank
    adapters on its linear layers; or globs over the names of weights outside of the decoder, comma-separated."""
    device: str = "auto"
    """Device of the model: cpu, cuda, cuda:1, or auto for the first GPU if there is one."""
    masks: str | None = None
    """Mask file from `python -m workers.pruning`, for blocks that a plan prunes by {saved}."""


TASK = "lmms-eval:"
"""Beginning of the name of a data set that is a task of lmms-eval."""
OF_A_TASK = ("name", "task", "task_folder", "limit", "max_train", "max_tune", "max_eval", "max_calibration",
             "max_unreadable")  # fmt: skip
"""Settings of a data set that can be given with a task."""


class DataSource(Message):
    """The data set of a trial, its columns and splits, and the number of rows used of each split."""

    name: Name = "embedded"
    """`embedded`, a Hugging Face hub id, or a local file (parquet, JSON lines, JSON, CSV) or folder."""
    config: str | None = None
    """Configuration (subset) of a data set that has several."""
    revision: str | None = None
    """Revision of the data set on the hub."""
    image_column: str | None = None
    """Column of images or of their paths. Columns that are not named are found by type and by usual names."""
    question_column: str | None = None
    """Column of questions; a data set without one is a captioning task."""
    context_column: str | None = None
    """Column of text that stands before the question, such as a hint; none leaves it out."""
    answer_column: str | None = None
    """Column of answers, captions, or the right one of the choices."""
    choices_column: str | None = None
    """Column of the options of a multiple choice, or comma-separated columns with one option each."""
    answer_as: Literal["index", "index1", "letter", "text"] | None = None
    """Form of the answer column of a multiple choice: index from 0, index from 1, letter or text; by default determined
    from all answers."""
    kind_column: str | None = None
    """Column of the kind of question, for accuracy per kind."""
    train_split: str | None = None
    """Split for tuning. Splits that are not named are found by usual names, or taken from the training images."""
    tune_split: str | None = None
    """Split that decides whether tuning brought an improvement."""
    search_split: str | None = None
    """Split that trials are evaluated on."""
    test_split: str | None = None
    """Split that the final front is tested on."""
    prompt: str | None = None
    """Prompt with the placeholders {question} and {choices}; by default the usual one for the task."""
    choices_as: Literal["letter", "text"] = "letter"
    """Form of the answer to a multiple choice: the letter of a listed option, or the text of the option."""
    turns: Literal["one", "each"] = "one"
    """Conversations with several questions: one rejects them, each uses every question without its earlier turns."""
    allow_outside: bool = False
    """Open image paths outside of the folder of the data set, and addresses of other machines."""
    task: str | None = None
    """Task of lmms-eval, whose questions, prompts and scores are used instead of --dataset."""
    task_folder: str | None = None
    """Folder with tasks of your own, as --include_path of lmms-eval."""
    limit: int | None = Field(None, ge=1)
    """Maximum number of rows per split, for a short first run."""
    max_train: int = Field(2048, ge=1)
    """Maximum number of rows for tuning."""
    max_tune: int = Field(256, ge=1)
    """Maximum number of rows of the tune split."""
    max_eval: int | None = Field(None, ge=1)
    """Maximum number of rows of the search split and of the test split."""
    max_calibration: int = Field(128, ge=1)
    """Number of random training samples for the calibration of pruning; 128 as in Wanda (arXiv 2306.11695)."""
    streaming: bool = False
    """Read only as many rows of the data set as the limits require."""
    max_unreadable: float = Field(0.01, ge=0, le=1)
    """Maximum fraction of the rows of a split that may be left out: unreadable image, or rejected by the model."""

    @model_validator(mode="before")
    @classmethod
    def _is_named_after_its_task(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("task") is not None:
            return {"name": f"{TASK}{values['task']}", **values}
        return values

    @model_validator(mode="after")
    def _task_brings_all(self) -> "DataSource":
        if self.task is None:
            if self.task_folder is not None:
                raise ValueError(f"--task-folder needs --task, got {shown(self.task_folder)} alone: name a task")
            return self
        if self.name != f"{TASK}{self.task}":
            raise ValueError(
                f"--task and --dataset exclude each other, got {self.task} and {self.name}: give one of them"
            )
        for name in self.model_fields_set:
            if name not in OF_A_TASK and getattr(self, name) != type(self).model_fields[name].default:
                option = name.replace("_", "-")
                raise ValueError(f"a task brings its own data, got --{option} with --task: leave --{option} out")
        return self

    @model_validator(mode="after")
    def _streams_end(self) -> "DataSource":
        if self.streaming and self.max_eval is None and self.limit is None:
            raise ValueError(
                "streaming needs a limit on rows, got no max_eval: set --max-eval, the rows to search and test on"
            )
        return self

    def most_rows(self, split: Split) -> int | None:
        """Return the maximum number of rows of a split; None for all."""
        own = {"train": self.max_train, "tune": self.max_tune}.get(split, self.max_eval)
        return min((most for most in (own, self.limit) if most is not None), default=None)
