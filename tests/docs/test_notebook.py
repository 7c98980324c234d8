"""The notebook of the documentation runs from its first cell to its last, in a kernel of its own."""

import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

import pitboard

NOTEBOOK = Path(__file__).parents[2] / "docs" / "reading.ipynb"


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(pitboard.__file__).parents[1]))
    monkeypatch.setenv("PITBOARD_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    manager = AsyncKernelManager()
    # This interpreter, whatever kernels the machine has.
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv[:] = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]

    NotebookClient(
        notebook, km=manager, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    shown = [
        output.get("text") or output["data"].get("image/svg+xml") or output["data"].get("text/plain", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    assert shown[0] == "'MLPerf Training v5.1: flux1, 16 systems'"
    assert "shape: (5, 4)" in shown[1]
    assert "1.266" in shown[3]
    assert shown[6].startswith("<svg")
    assert "Time-to-train" in shown[6]
    assert not list(tmp_path.iterdir()), "reading writes nothing"
