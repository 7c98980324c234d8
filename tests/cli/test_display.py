"""The live display of a run, on a terminal and without one."""

import io
import re
import subprocess
import sys

from rich.console import Console

from pitboard.cli.progress import Display
from pitboard.training.reporting import Course

COURSE = Course("llama31_8b", "smoke", 3.6, True, 128, 128, 2560, 256, 2, "A device")


def shown(*, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=140, color_system=None)
    with Display(console) as display:
        display.preparing("building the model")
        display.started(COURSE, 0)
        assert display.wants_loss()
        display.stepped(8, 6.5)
        assert not display.wants_loss(), "the next loss is due only later: reading it would make a GPU wait"
        display.stepped(16, None)
        display.evaluated(128, 4.25)
        display.evaluated(256, 3.5)
    return out.getvalue()


def test_without_a_terminal_it_is_plain_lines() -> None:
    text = shown(terminal=False)
    assert "\x1b" not in text
    assert "2 × A device" in text
    assert "loss 6.500" in text
    assert "next evaluation in 120 samples" in text
    assert "validation loss 4.2500, 0.650 above the target" in text
    assert "validation loss 3.5000, the target 3.6 is reached" in text


def test_on_a_terminal_it_is_redrawn_in_place() -> None:
    text = shown(terminal=True)
    assert re.search(r"8 samples +loss 6.500 .*next evaluation in 120 samples", text)
    assert "\x1b[2K" in text, "a frame is erased before the next"


def test_help_loads_no_heavy_library() -> None:
    heavy = {"torch", "transformers", "pandas", "scipy", "numpy", "pydantic", "yaml", "mlperf_logging"}
    code = (
        "import sys\nfrom pitboard.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "run" in done.stdout
    assert done.stderr.strip() == "[]"
