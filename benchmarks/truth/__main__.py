"""Measurement of landscapes, stored as tables: `python -m benchmarks.truth [NAME ...]`.

Writes `benchmarks/data/*.npz`, one file per landscape: for every plan, the number of right answers on the search and
the test split, its FLOPs, and the origin of the numbers.
"""

import argparse
from pathlib import Path

from benchmarks.truth.enumerated import DATA, measure
from benchmarks.truth.landscapes import LANDSCAPES
from benchmarks.truth.tuned import measure_rungs


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [name for name, landscape in LANDSCAPES.items() if not landscape.grows]
    parser.add_argument("landscape", nargs="*", choices=known, default=known)
    parser.add_argument("--processes", type=int, default=2, help="number of workers that tune in parallel")
    parser.add_argument("--out", type=Path, default=DATA, help="folder of the tables")
    arguments = parser.parse_args()
    for name in arguments.landscape:
        landscape = LANDSCAPES[name]
        if len(landscape.rungs) > 1:
            truth = measure_rungs(landscape, arguments.processes, arguments.out)
        else:
            truth = measure(landscape)
        found = f"{len(truth.plans)} plans, {len(truth.front())} on the front, {truth.volume():.4f}"
        print(f"{truth.save(arguments.out)}: {found}")


if __name__ == "__main__":
    main()
