"""Masks are made by one command and searched with by another."""

import json
from pathlib import Path

import pytest

from tests.search.test_commands import QUICK, run


@pytest.mark.slow
def test_masks_are_made_and_searched_with(tmp_path: Path) -> None:
    for kind in ("color_at", "where_is"):
        made = run(
            "workers.pruning", "make", "--pruning", "w50", "--kind", kind, "--to", f"{kind}.safetensors", cwd=tmp_path
        )
        assert "0.5000 of the weights of 12 blocks" in made.stdout, made.stderr
    joined = run(
        "workers.pruning", "intersect", "color_at.safetensors", "where_is.safetensors", "--to", "both", cwd=tmp_path
    )
    assert joined.returncode == 0, joined.stderr
    space = ("--space", "full", "--prunings", "saved,ffn50", "--masks", "both", "--minimize", "sparse_flops")
    done = run("search.run", "--budget", "3", "--out", "run", *space, *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(run("search.report", "--out", "run", "--json", cwd=tmp_path).stdout)
    assert report["counts"]["trials"] == 3 and not report["counts"].get("failed")
    dense = report["dense"]["flops"]
    assert all(trial["flops_ratio"] == pytest.approx(trial["sparse_flops"] / dense) for trial in report["front"])
    request = run("search.report", "--out", "run", "--request", "1", cwd=tmp_path).stdout
    assert json.loads(request)["model"]["masks"] == str(tmp_path / "both")
