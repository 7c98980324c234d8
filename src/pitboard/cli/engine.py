"""Vega's engine in a process of its own, which starts while the answer to draw is still being found.

It takes most of a second to start, in which the question is asked and the chart is made. Where it cannot be
had, a chart is drawn in this process, with the same result.
"""

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

_CODE = """
import sys, vl_convert
vl_convert.vegalite_to_vega('{"data": {"values": []}, "mark": "point"}')  # so that it has started
specification = sys.stdin.buffer.read().decode()
if sys.argv[1] == ".svg":
    drawn = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]).encode()
else:
    drawn = vl_convert.vegalite_to_png(specification, scale=2, allowed_base_urls=[])
sys.stdout.buffer.write(drawn)
"""


class Engine:
    """A process that draws one chart, given as Vega-Lite's JSON, to the suffix that it was started for."""

    def __init__(self, suffix: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _CODE, suffix],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def drawn(self, specification: str) -> bytes | None:
        """Return the drawing; `None` where the process could not make it."""
        out, _ = self._process.communicate(specification.encode())
        return out if self._process.returncode == 0 and out else None

    def close(self) -> None:
        """End the process, if it has not ended."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def started(path: Path | None) -> Iterator[Engine | None]:
    """Start the engine for a file to draw, and end it with the block; `None` where that would be no use.

    The block loads hundreds of modules and ends soon: no garbage is looked for meanwhile, which would take a
    tenth of its time.
    """
    suffix = path.suffix.lower() if path else ""
    engine = None
    if suffix in (".svg", ".png") and find_spec("vl_convert"):
        with suppress(OSError):
            engine = Engine(suffix)
        gc.disable()
    try:
        yield engine
    finally:
        gc.enable()
        if engine:
            engine.close()
