"""Where a model and a data set come from, as values of a request. Imports no torch."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from spaces.names import shown
from workers.lora_options import parse_lora
from workers.value import Value

Split = Literal["train", "tune", "search", "test"]


def _is_trainable(text: str) -> str:
    parse_lora(text)
    return text


def _is_name(name: str) -> str:
    if len(name) > 4096 or any(len(part) > 255 for part in name.split("/")) or not name.isprintable():
        raise ValueError(f"a name must be one of a file, a folder or the hub, got {shown(name)}")
    return name


Name = Annotated[str, AfterValidator(_is_name)]


class ModelSource(Value):
    """Where the model comes from and how it is loaded."""

    name: Name = "embedded"
    """`embedded`, a Hugging Face hub id, or a local folder."""
    revision: str | None = None
    """Revision of the model on the hub."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Type of the weights; auto is that of the checkpoint."""
    attn_implementation: str = "sdpa"
    """Attention implementation of transformers, sdpa or eager."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    trainable: Annotated[str, AfterValidator(_is_trainable)] = "mapping"
    """What is tuned: `mapping`, the module between vision tower and decoder; `lora` or `lora:r=8,alpha=16`, low-rank
    adapters on its linear layers; or globs over the names of weights outside of the decoder, comma-separated."""
    device: str = "auto"
    """Device of the model: cpu, cuda, cuda:1, or auto for the first GPU where there is one."""
    masks: str | None = None
    """Mask file, made by `python -m workers.pruning`, for blocks that a plan prunes by {saved}."""


class DataSource(Value):
    """Where the questions come from, which columns and splits hold what, and how many of each split are used."""

    name: Name = "embedded"
    """`embedded`, a Hugging Face hub id, or a local file (parquet, JSON lines, JSON, CSV) or folder."""
    config: str | None = None
    """Configuration (subset) of a data set that has several."""
    revision: str | None = None
    """Revision of the data set on the hub."""
    image_column: str | None = None
    """Column of images, or of their paths. Columns that are not named are found by type and by usual names."""
    question_column: str | None = None
    """Column of questions; a data set without questions is captioned."""
    answer_column: str | None = None
    """Column of answers, captions, or the right one of the choices."""
    choices_column: str | None = None
    """Column of the options of a multiple choice, or columns of one option each with commas between them."""
    answer_as: Literal["index", "index1", "letter", "text"] | None = None
    """How the right one of the choices is given: index from 0, index from 1, letter or text; None is read from all
    answers of the column."""
    kind_column: str | None = None
    """Column of the kind of question, for accuracy per kind."""
    train_split: str | None = None
    """Split that tunes the mapping module. Splits that are not named are found by usual names, or taken from train."""
    tune_split: str | None = None
    """Split that decides whether tuning helped."""
    search_split: str | None = None
    """Split that scores trials."""
    test_split: str | None = None
    """Split that scores the final front."""
    prompt: str | None = None
    """What the model is asked, {question} and {choices} standing for a row's own; None is as usual for the task."""
    choices_as: Literal["letter", "text"] = "letter"
    """What the model answers a multiple choice with: the letter of a listed option, or the option's text."""
    turns: Literal["one", "each"] = "one"
    """Conversations of several questions: refused, or each question put without what was said before it."""
    allow_outside: bool = False
    """Open image paths that lead out of the data set's folder, and addresses of other machines."""
    limit: int | None = Field(None, ge=1)
    """Rows of every split that are used at most: for a first short run."""
    max_train: int = Field(2048, ge=1)
    """Largest number of rows to tune on."""
    max_tune: int = Field(256, ge=1)
    """Largest number of rows that decide whether tuning helped."""
    max_eval: int | None = Field(None, ge=1)
    """Largest number of rows to search on, and to test on."""
    max_calibration: int = Field(128, ge=1)
    """Samples of `train`, drawn at random, that pruning is calibrated on; 128 as in Wanda (arXiv 2306.11695)."""
    streaming: bool = False
    """Read no more of the data set than the limits ask for."""
    max_unreadable: float = Field(0.01, ge=0, le=1)
    """Share of a split's rows that may be left out: without a readable image, or refused by the model."""

    @model_validator(mode="after")
    def _streams_end(self) -> "DataSource":
        if self.streaming and self.max_eval is None and self.limit is None:
            raise ValueError(
                "streaming must have an end, got no max_eval: say with --max-eval how many rows to search and test on"
            )
        return self

    def most_rows(self, split: Split) -> int | None:
        """Return the number of rows of a split that are used at most; None is all."""
        own = {"train": self.max_train, "tune": self.max_tune}.get(split, self.max_eval)
        return min((most for most in (own, self.limit) if most is not None), default=None)
