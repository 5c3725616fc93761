"""The notebooks run from top to bottom, are stored without outputs, and stay short."""

from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_LINES_OF_A_CELL = 12
MAX_LINES_OF_A_PDE = 15  # from the import to the error

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


def test_there_are_notebooks():
    names = [
        "solve_burgers",
        "register_your_pde",
        "physics_informed_gaussians",
        "deeponet",
        "multi_task_deeponet",
        "cape",
        "your_own_data",
        "beam_in_si_units",
        "cavity_with_gaussians",
        "unknown_field",
        "darcy_from_arrays",
        "hypino",
        "error_bars",
        "shapes_with_error_bars",
        "equations_as_data",
        "two_materials",
    ]
    assert [path.stem for path in NOTEBOOKS] == [
        f"{number:02d}_{name}" for number, name in enumerate(names, 1)
    ]


@each_notebook
def test_stored_without_outputs_and_short(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in code(path):
        assert not cell.outputs and cell.execution_count is None, (
            f"strip the outputs of {cell.source!r}"
        )
        assert len(lines(cell)) <= MAX_LINES_OF_A_CELL, f"too long: {cell.source!r}"


@pytest.mark.parametrize("name", ["fisher", "plate"])
def test_a_pde_takes_fifteen_lines(name):
    """Alone in a fresh namespace, imports included: the lines of the cells tagged with its name."""
    cells = [
        cell
        for cell in code(FOLDER / "02_register_your_pde.ipynb")
        if name in cell.metadata.get("tags", ())
    ]
    source = [line for cell in cells for line in lines(cell)]
    story = ["import jax.numpy as jnp", "import pinops as po", *source]
    assert story[-1] == "solution.error()"
    assert len(story) <= MAX_LINES_OF_A_PDE
    imports = lines(code(FOLDER / "02_register_your_pde.ipynb")[0])
    assert set(story[:2]) <= set(imports)


@each_notebook
def test_runs(path, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    before = set(FOLDER.rglob("*"))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert set(FOLDER.rglob("*")) == before
    pictures = [
        out
        for cell in notebook.cells
        for out in cell.get("outputs", ())
        if "image/png" in out.get("data", {})
    ]
    assert pictures, "no figure is shown"
