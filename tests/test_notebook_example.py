"""The notebook of `examples/` runs from the first cell to the last; `python -m tests.test_notebook_example` writes it.

Its stored outputs are those of a run, without warnings and with the paths of its folder made relative.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_search.ipynb"


def executed(folder: Path) -> Any:
    """Return the notebook after running it in a folder; raises the error of a cell."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return book


def sources() -> list[str]:
    return [
        "".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"
    ]


def test_the_stored_outputs_are_of_one_run_and_name_no_machine() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell["outputs"] for cell in cells)
    assert not re.search(r"/(tmp|home|root|work|Users)/", NOTEBOOK.read_text())
    assert NOTEBOOK.stat().st_size < 200_000
    for name in ("run", "load_run", "export_plan", "plot_front", "samples", "rungs", "trials"):
        assert any(re.search(rf"\b{name}\b", source) for source in sources())


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    book = executed(tmp_path)
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert (tmp_path / "models" / "notebook" / "plan.json").is_file()
    assert any("image/png" in output.get("data", {}) for output in outputs), "the front is drawn"


def write() -> None:
    """Run the notebook and store it with its outputs."""
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        book = executed(Path(folder))
        for cell in book.cells:
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
        text = nbformat.writes(book).replace(f"sqlite:///{folder}/", "sqlite:///").replace(f"{folder}/", "")
    NOTEBOOK.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
