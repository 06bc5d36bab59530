"""Run notebooks and store them with what they show: `python notebooks/store.py [NOTEBOOK …]`, or all."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def store(path: Path) -> None:
    """Run a notebook from its first cell to its last, and write it back with its outputs.

    What would differ from one run to the next without saying anything is left out: times, progress, versions.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, kernel_name="python3", record_timing=False, coalesce_streams=True, timeout=None
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata.language_info = {"name": "python"}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for given in map(Path, sys.argv[1:] or sorted(HERE.glob("*.ipynb"))):
        sys.stderr.write(f"{given.name} …\n")
        store(given)
