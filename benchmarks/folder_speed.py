"""Times the exported folder of a plan in turns with the dense model, for `benchmarks.latency`."""

import shutil
import tempfile
from pathlib import Path
from statistics import median

from objectives.workload import Workload
from spaces.plan import Plan
from workers.evaluation.timed_passes import TimedPasses
from workers.export.route import export_route
from workers.export.stock_layers import facts_of
from workers.export.write import save_model
from workers.models.load_model import load_model
from workers.models.model_files import checkpoint
from workers.session import Session
from workers.sources import ModelSource

WARM_UP, TURNS = 3, 25
"""Number of turns before timing, and of timed ones."""


def folder_speedup(session: Session, source: ModelSource, plan: Plan, workload: Workload) -> float:
    """Return the median speed-up of the stock folder of a plan over the dense model, over neighbouring turns.

    Args:
        session: the loaded model and data, with no plan applied.
        source: the model.
        plan: a plan that stock layers can hold.
        workload: tokens per request, and the number of requests that run together.
    """
    model = session.loaded.model
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "made"
        save_model(model, export_route(plan, facts_of(model), "transformers"), made, source)
        for file in Path(checkpoint(source)).iterdir():
            if not (made / file.name).exists():
                shutil.copy(file, made)
        small = load_model(source.model_copy(update={"name": str(made)}))
    both = [TimedPasses(loaded, session.samples("search"), workload) for loaded in (session.loaded, small)]
    turns = []
    for number in range(WARM_UP + TURNS):
        order = (0, 1) if number % 2 else (1, 0)
        times = {index: both[index].turn() for index in order}
        turns.append((times[0], times[1]))
    vision = both[0].vision(TURNS)
    return median(both[0].total(dense, vision) / both[1].total(mine, vision) for dense, mine in turns[WARM_UP:])
