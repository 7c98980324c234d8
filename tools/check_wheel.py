"""Build the wheel, install it in empty environments, and use each part of it there.

    python tools/check_wheel.py [--train] [PYTHON ...]

The base and the extras `charts` and `web` are tried with every Python named (default: this one); `--train`
adds the extra that brings PyTorch, with the first of them. Everything comes from the package index, at the
exact versions of `constraints.txt`, and what the base needs by the hashes of `requirements/base.txt`. Exits 1
at the first command that does not do what it should.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BASE = ROOT / "requirements/base.txt"
TINY = "--layers 1 --sequence-length 16 --set hidden_size=64 --set max_samples=4 --set evaluation_samples=4"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true", help="try the extra 'train' too: PyTorch, 2 minutes")
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pitboard-wheel-") as name:
        folder = Path(name)
        # Of a copy: modules that an earlier build left in build/ would be packed too.
        source = folder / "source"
        shutil.copytree(
            ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
        )
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, source)
        _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", name, str(source)])
        wheel = next(folder.glob("pitboard-*.whl"))
        for number, python in enumerate(arguments.pythons):
            _try(wheel, python, folder / f"environment-{number}", train=arguments.train and number == 0)


def _try(wheel: Path, python: str, place: Path, *, train: bool) -> None:
    """Install the wheel for one Python, an extra at a time, and use what each brings."""
    _run([python, "-m", "venv", str(place)])
    pitboard = Installed(place)
    # What it needs comes by its hashes; a package whose file is another is refused.
    pitboard.python("-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", str(BASE))
    pitboard.python("-m", "pip", "install", "--quiet", "--no-deps", str(wheel))
    pitboard("--version")
    pitboard("suite", "--round", "5.1")
    pitboard("results", "table", "--round", "5.1", "--benchmark", "flux1")
    # What an extra brings is asked for by name, not by a traceback.
    for command, extra in (("run llama31_8b", "train"), ("serve", "web")):
        pitboard(*command.split(), code=(2,), says=f"pitboard[{extra}]")
    pitboard.install(f"{wheel}[charts]")
    chart = place / "chart.svg"
    pitboard("results", "scale", "--benchmark", "llama31_8b", "--chart", str(chart))
    assert chart.read_text().lstrip().startswith("<svg"), f"{chart} is no SVG"
    pitboard.install(f"{wheel}[web]")
    pitboard.python("-c", "from pitboard.web.app import create_app; create_app()")
    if train:
        pitboard.install("torch==2.13.0", f"{wheel}[train]")
        pitboard("run", "llama31_8b", *TINY.split(), "--output", str(place / "out"), code=(1,))
    print(f"{pitboard.python('--version').strip()}: the wheel works", flush=True)


class Installed:
    """A virtual environment that the wheel is installed in."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def install(self, *what: str) -> None:
        """Install packages at the versions that we test with."""
        constraints = str(ROOT / "constraints.txt")
        self.python("-m", "pip", "install", "--quiet", "--constraint", constraints, *what)

    def python(self, *arguments: str) -> str:
        """Run the environment's Python away from the checkout; return what it printed."""
        return _run([str(self._place / "bin/python"), *arguments], cwd=self._place)

    def __call__(self, *arguments: str, code: tuple[int, ...] = (0,), says: str = "") -> str:
        """Run `pitboard`; return what it printed. Exits where the exit code or the words are others."""
        printed = _run([str(self._place / "bin/pitboard"), *arguments], code, cwd=self._place)
        if says not in printed or "Traceback" in printed:
            sys.exit(f"pitboard {' '.join(arguments)} should say '{says}' and have no traceback:\n{printed}")
        return printed


def _run(command: list[str], code: tuple[int, ...] = (0,), cwd: Path = ROOT) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"NO_COLOR": "1", "COLUMNS": "200", "XDG_CACHE_HOME": str(cwd / "cache")}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )
    if done.returncode not in code:
        sys.exit(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
