"""Times, sizes and workloads of the command line."""

import pytest

from objectives.workload import Workload
from search.quantities import parse_latency, parse_memory, parse_workload, with_stated


def test_quantities_have_units():
    assert parse_latency("80ms") == pytest.approx(0.08)
    assert parse_latency("1.5 s") == 1.5
    assert parse_memory("20GB") == 2e10
    assert parse_memory("1GiB") == 2**30


@pytest.mark.parametrize("text", ["banana", "80", "0ms", "-3ms", "1e400s", "3 hours", "ms", ""])
def test_other_times_are_refused_in_one_line(text):
    with pytest.raises(ValueError, match=r"--max-latency must be a number above 0 .*: write 80ms") as error:
        parse_latency(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["text", "text=0", "text=1.5", "images=2", "", "batch=-1", "batch=²"])
def test_other_workloads_are_refused(text):
    with pytest.raises(ValueError, match="--workload must be NAME=NUMBER"):
        parse_workload(text)


def test_a_stated_workload_changes_what_it_names():
    means = Workload(visual_tokens=16, text_tokens=9.4, generated_tokens=2.4, images=1)
    found = with_stated(means, "text=32, batch=4")
    assert found == Workload(visual_tokens=16, text_tokens=32, generated_tokens=2.4, images=1, batch=4)
    assert with_stated(means, None) is means


def test_logits_of_the_whole_prompt_grow_with_it():
    means = Workload(visual_tokens=16, text_tokens=9, generated_tokens=2, extra_head_rows=24)
    assert with_stated(means, "text=20").extra_head_rows == 35
