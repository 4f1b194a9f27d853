"""Maintains the non-dominated fronts of a growing set of points, without sorting all of them again."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from math import inf

Point = tuple[float, float]
"""(cost, value) of a point: the first is minimized, the second maximized."""


class GrowingFronts:
    """Points with two objectives, sorted into fronts by rank as `objectives.dominance.sort_fronts` gives them.

    A new point moves a contiguous piece of its front to the next front, which moves a piece of that one, and so on
    (Yakupov & Buzdalov, "Incremental non-dominated sorting with O(N) insertion for the two-dimensional case", 2015).
    """

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self._fronts: list[list[Point]] = []
        """Different points of every rank, by rising cost and therefore by rising value."""
        self._sizes: list[int] = []
        """Number of points of every rank, equal ones included."""
        self._counts: Counter[Point] = Counter()
        for point in points:
            self.add(point)

    def __len__(self) -> int:
        return sum(self._sizes)

    def rank(self, point: Point) -> int:
        """Return the rank of a point among the added ones; it need not be one of them."""
        low, high = 0, len(self._fronts)
        while low < high:
            middle = (low + high) // 2
            if _dominates(self._fronts[middle], point):
                low = middle + 1
            else:
                high = middle
        return low

    def num_ahead(self, rank: int) -> int:
        """Return the number of points of lower ranks."""
        return sum(self._sizes[:rank])

    def front(self, rank: int) -> list[Point]:
        """Return the points of a rank, equal ones as often as they were added; empty if it has none."""
        if rank >= len(self._fronts):
            return []
        return [point for point in self._fronts[rank] for _ in range(self._counts[point])]

    def add(self, point: Point) -> None:
        """Add a point, whose coordinates must be finite."""
        rank, known = self.rank(point), point in self._counts
        self._counts[point] += 1
        if known:
            self._sizes[rank] += 1
            return
        moved = [point]
        while moved and rank < len(self._fronts):
            front = self._fronts[rank]
            start = bisect_left(front, moved[0][0], key=_cost)
            end = max(start, bisect_right(front, moved[-1][1], key=_value))
            replaced = front[start:end]
            front[start:end] = moved
            self._sizes[rank] += self._num_points(moved) - self._num_points(replaced)
            moved, rank = replaced, rank + 1
        if moved:
            self._fronts.append(moved)
            self._sizes.append(self._num_points(moved))

    def _num_points(self, points: list[Point]) -> int:
        return sum(self._counts[point] for point in points)


def _dominates(front: list[Point], point: Point) -> bool:
    """Return True if a point of a front dominates `point`; only the best of those that cost no more is compared."""
    place = bisect_right(front, (point[0], inf)) - 1
    return place >= 0 and front[place] != point and front[place][1] >= point[1]


def _cost(point: Point) -> float:
    return point[0]


def _value(point: Point) -> float:
    return point[1]
