"""Executes a notebook, and fails where one of its cells does.

    python notebook.py NOTEBOOK FOLDER

The cells run in FOLDER. The notebook itself is not changed.
"""

import sys

import nbclient
import nbformat


def main() -> None:
    notebook = nbformat.read(sys.argv[1], as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": sys.argv[2]}}
    )
    client.execute()
    executed = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert executed and all(cell.execution_count for cell in executed), "a cell was left out"
    print(f"ok      {len(executed)} cells")


if __name__ == "__main__":
    main()
