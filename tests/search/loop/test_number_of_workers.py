"""The number of workers by `--workers auto`, and the cores and memory that it is computed from."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from search.loop.number_of_workers import MOST, number_of_workers
from search.settings import Settings
from workers.machine_limits import usable_cores, usable_memory

EMBEDDED: dict[str, Any] = {
    "weight_bytes": 6 * 2**20,
    "question_flops": 80e6,
    "rows": {"tune": 256, "search": 1024, "test": 2048},
    "cores": 2,
    "memory": 8 * 2**30,
}


def number(settings: dict[str, Any] | None = None, **machine: Any) -> int:
    wanted = {"model": {"device": "cpu"}, **(settings or {})}
    return number_of_workers(Settings.model_validate(wanted), **{**EMBEDDED, **machine})


def test_a_small_model_gets_one_worker_per_core_as_far_as_memory_goes() -> None:
    assert number() == 2
    assert number(cores=1) == 1
    assert number(cores=64) == MOST
    assert number(cores=64, memory=2 * 2**30) == 2
    assert number(memory=2**20) == 1
    assert number({"threads": 2}, cores=4) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"budget": 8},
        {"rungs": "0:16", "budget": 40, "final_seeds": 1},
        {"minimize": "latency"},
        {"max_latency": "10ms"},
        {"ray_address": "auto"},
        {"model": {"device": "cuda:1"}},
    ],
)
def test_one_worker_where_more_would_not_pay(settings: dict[str, Any]) -> None:
    assert number(settings) == 1


def test_one_worker_for_a_large_model() -> None:
    assert number(weight_bytes=2**30) == 1


def test_a_container_has_what_its_limits_leave(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) <= (os.cpu_count() or 1)
    assert 0 < usable_memory(tmp_path) <= psutil.virtual_memory().total
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert (usable_cores(tmp_path), usable_memory(tmp_path)) == (1, 2000)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert usable_cores(tmp_path) == usable_cores(tmp_path / "none")
    assert usable_memory(tmp_path) > 2000
