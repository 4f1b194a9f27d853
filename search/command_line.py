"""A command that suggests an option for an unknown one; imports nothing that is slow."""

import re
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand

SYNONYMS = {
    "--trials": "--budget", "--n-trials": "--budget", "--num-trials": "--budget", "--num-samples": "--budget",
    "--max-trials": "--budget", "--iterations": "--budget", "--output": "--out", "--output-dir": "--out",
    "--out-dir": "--out", "--run-dir": "--out", "--results-dir": "--out", "--run": "--out", "--db": "--storage",
    "--database": "--storage", "--storage-url": "--storage", "--model-name-or-path": "--model",
    "--model-path": "--model", "--model-name": "--model", "--pretrained": "--model", "--base-model": "--model",
    "--data": "--dataset", "--dataset-name": "--dataset", "--sampler": "--strategy",
    "--algorithm": "--strategy", "--search-space": "--space", "--flops": "--max-flops", "--target-flops": "--max-flops",
    "--random-seed": "--seed", "--torch-dtype": "--dtype", "--precision": "--dtype", "--n-jobs": "--workers",
    "--num-workers": "--workers", "--jobs": "--workers", "--address": "--ray-address", "--timeout": "--time-limit",
    "--num-threads": "--threads", "--output-path": "--to", "--save-to": "--to", "--trial-id": "--trial",
    "--attn": "--attn-implementation", "--warmstart": "--warm-start",
}  # fmt: skip
"""Options that users know from other tools -> ours."""


class Command(TyperCommand):
    """A command that suggests an option for an unknown one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command line.

        Raises:
            BadParameter: an option is unknown; the message suggests the option that was probably meant.
        """
        known = [name for parameter in self.params for name in getattr(parameter, "opts", ())]
        for word in args:
            if word == "--":
                break
            name = word.partition("=")[0]
            if name.startswith("--") and name not in known and name not in ("--help", "--version"):
                raise typer.BadParameter(f"no such option: {name[:60]}{suggestion(name, known)}")
        return super().parse_args(ctx, args)


def suggestion(name: str, known: list[str]) -> str:
    """Return `; did you mean ...?` for an unknown option, or an empty text if no known option is similar."""
    plain = re.sub(r"[_-]+", "-", name.lower().lstrip("-"))
    meant = SYNONYMS.get(f"--{plain}")
    if meant not in known:
        meant = next(iter(get_close_matches(f"--{plain}", known, n=1, cutoff=0.6)), None)
    return f"; did you mean {meant}?" if meant else ""
