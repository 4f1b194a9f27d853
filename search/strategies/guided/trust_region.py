"""Restricts the surrogate's proposals to plans near the front while those further away add nothing.

Where changes interact, the surrogate expects much of plans that differ from all known good ones in many blocks, one
after the other. As in TuRBO (Eriksson et al. 2019, arXiv 1910.01465) the region in which it is trusted shrinks with
every few proposals in a row that add nothing, and is unlimited again after one that does.
"""

from search.strategies.plan_bits import Codes

FROM = 3
"""Number of successive proposals of the surrogate without a gain until the region is limited."""
LARGEST, SMALLEST = 4, 1
"""Numbers of blocks by which a plan of the region may differ from the front, at first and at last."""
STEP = 3
"""Number of further such proposals after which the region shrinks by a block."""


def radius(gainless: int) -> int | None:
    """Return the number of blocks by which a plan may differ from the nearest plan of the front; None for any.

    Args:
        gainless: number of the surrogate's latest proposals without a gain.
    """
    return None if gainless < FROM else max(SMALLEST, LARGEST - (gainless - FROM) // STEP)


def within(pool: Codes, centers: Codes, blocks: int | None) -> Codes:
    """Return the plans of a pool that differ from the nearest center in at most so many blocks.

    Args:
        pool: (N, L) codes.
        centers: (C, L) codes; if there is none, the whole pool is returned.
        blocks: largest number of different blocks; None for any.
    """
    if blocks is None or not len(centers):
        return pool
    distances = (pool[:, None] != centers[None]).sum(2).min(1)
    near: Codes = pool[distances <= blocks]
    return near
