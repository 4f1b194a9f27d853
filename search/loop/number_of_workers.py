"""Decides how many workers a search uses (`--workers auto`)."""

from collections.abc import Mapping

from search.analysis.expected_work import work_of_search
from search.settings import Settings
from workers.models.device import has_gpu

MOST = 4
"""Maximum number of workers: the more there are, the fewer results each proposal is based on."""
SMALL_MODEL = 256 * 2**20
"""Bytes of weights up to which a model is small: its matrix products are too small to share among the cores."""
PROCESS_BYTES = 800 * 2**20
"""Memory of a worker process without the model, in bytes."""
COPIES = 4
"""Memory of a model in a worker, as a multiple of its weights: activations, gradients and image features included."""
SHORT_SEARCH = 6e12
"""FLOPs of a search, about two minutes of one core, up to which starting Ray takes longer than it saves."""


def number_of_workers(
    settings: Settings, weight_bytes: int, question_flops: float, rows: Mapping[str, int], cores: int, memory: int
) -> int:
    """Return the number of workers that gives the highest throughput.

    It depends on the settings and on the machine, not on measured times, so that the same search on the same machine
    has the same number.

    Args:
        settings: settings of the search.
        weight_bytes: bytes of the weights of the model.
        question_flops: FLOPs of the dense model per question.
        rows: split -> number of questions.
        cores: number of cores that this process may use.
        memory: available bytes.

    Returns:
        1 for a large model, whose products occupy all cores, for a GPU, for a short search, where latency counts, and
        on a cluster, whose size is not known. Else one per core, if memory allows, and at most `MOST`.
    """
    device = settings.model.device
    if settings.ray_address is not None or settings.needs_times or weight_bytes > SMALL_MODEL:
        return 1
    if device not in ("auto", "cpu") or (device == "auto" and has_gpu()):
        return 1
    if work_of_search(settings, rows) * question_flops < SHORT_SEARCH:
        return 1
    fit = memory // (PROCESS_BYTES + COPIES * weight_bytes)
    return max(1, min(MOST, cores // (settings.threads or 1), fit))
