"""Fronts updated point by point equal those of all points sorted together."""

from hypothesis import given
from hypothesis import strategies as st

from objectives.dominance import sort_fronts
from objectives.growing_fronts import GrowingFronts


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60))
def test_ranks_are_those_of_a_sort(points: list[tuple[int, int]]) -> None:
    fronts = GrowingFronts(points)
    ranks = sort_fronts(points, (False, True)).tolist() if points else []
    assert len(fronts) == len(points)
    assert [fronts.rank(point) for point in points] == ranks
    for rank in range(max(ranks, default=-1) + 2):
        assert sorted(fronts.front(rank)) == sorted(p for p, r in zip(points, ranks, strict=True) if r == rank)
        assert fronts.num_ahead(rank) == sum(other < rank for other in ranks)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30),
    st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_a_point_that_is_not_among_them_has_the_rank_it_would_get(
    points: list[tuple[int, int]], new: tuple[int, int]
) -> None:
    assert GrowingFronts(points).rank(new) == sort_fronts([*points, new], (False, True))[-1]
