"""The FLOPs of a front are those of the folders that are exported."""

from pathlib import Path

import pytest

from benchmarks.deployed_flops import search_and_count
from workers.requests import Deploy


@pytest.mark.slow
@pytest.mark.parametrize("deploy", ["transformers", "nemotron-nas", "any"])
def test_torch_counts_in_every_folder_what_the_front_shows(tmp_path: Path, deploy: Deploy) -> None:
    rows = search_and_count(deploy, budget=14, folder=tmp_path / "run")
    assert len(rows) > 2
    for row in rows:
        assert row.counted == row.expected, row
    assert any(set(row.plan) & {"a", "f"} for row in rows) or deploy != "any"
