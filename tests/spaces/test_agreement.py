"""Agreement of plans, against a count by hand."""

from hypothesis import given
from hypothesis import strategies as st

from spaces.agreement import agreement, ranges, run_shares
from spaces.plan import Plan


def test_what_all_run_and_most_skip_is_named() -> None:
    plans = [Plan.parse(text) for text in ("..ab.", "..fb.", "..fb.", "..bb.", "..fba")]
    assert agreement(plans) == (
        "All 5 plans run blocks 0-1 and FFN of block 4. At least 80% of the 5 plans skip block 3 and FFN of block 2."
    )


def test_plans_without_anything_in_common_are_said_to_be() -> None:
    assert agreement([Plan.parse("ab"), Plan.parse("ba"), Plan.parse("..")]) == "The 3 plans agree on no sub-layer."
    assert agreement([Plan.parse("ab")]) == ""


def test_a_scope_counts_by_its_share_of_the_groups_of_tokens() -> None:
    shares = run_shares([Plan.parse("av"), Plan.parse("bg")])
    assert shares == {"attention": [4 / 6], "FFN": [5 / 6]}


@given(st.sets(st.integers(0, 40), min_size=1))
def test_ranges_hold_the_same_numbers(numbers: set[int]) -> None:
    spans = [[int(end) for end in span.split("-")] for span in ranges(numbers).split(", ")]
    assert {n for span in spans for n in range(span[0], span[-1] + 1)} == numbers
    assert len(spans) == sum(n - 1 not in numbers for n in numbers)
