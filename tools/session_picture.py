"""Draw the README's picture: a real session of `pitboard run llama31_8b`, as the terminal showed it.

python tools/session_picture.py [--seed 1]     writes docs/session.svg, and prints the same
"""

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parents[1] / "docs"
COMMAND = "pitboard run llama31_8b"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", default="1")
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pitboard",
                "run",
                "llama31_8b",
                "--seed",
                seed,
                "--output",
                "output/first",
            ],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines())
    print(f"$ {COMMAND}\n{printed}")
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(Text(f"$ {COMMAND}", style="bold"))
    console.print(Text(printed))
    console.save_svg(str(DOCS / "session.svg"), title="pitboard")


if __name__ == "__main__":
    main()
