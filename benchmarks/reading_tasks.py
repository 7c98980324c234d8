"""How long a reader waits for the answers that the pages are made for, from the front page on.

    python benchmarks/reading_tasks.py [--visits 5] [--width 1440] [--source FOLDER]

Starts a real `pitboard serve` and Chromium, opens the front page and clicks as a reader who knows the way:
each task is the sentence or figure that answers a question. Prints, per task, the clicks and the seconds
until the answer is drawn: of the first visit after the server's start, and the median of later ones, each
with an empty browser cache. The time is that of loading and drawing all pages on the way, without pictures
further down; how long a person reads and looks for the link cannot be measured so. `--source` is the
root of another checkout, to measure an older commit:

    git worktree add /tmp/older 8b178f5 && python benchmarks/reading_tasks.py --source /tmp/older
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

_CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
_BEST_OF_EIGHT = "tr:has(a[href='/benchmarks/llama31_8b']) >> a.best >> nth=0"
_DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Route(NamedTuple):
    """Links to click, and what then answers, as Playwright finds them."""

    clicks: tuple[str, ...]
    answer: str


# The first route whose first link, or answer, is on the front page; a later one is that of older pages.
TASKS: dict[str, tuple[Route, ...]] = {
    "fastest 8-accelerator Llama 3.1 8B": (Route((), _BEST_OF_EIGHT),),
    "how much faster than the last round on the same hardware": (
        Route((), "text=/llama2_70b_lora: .* is 1.27 × as fast/"),
        Route(("nav >> text=Rounds", "a[href='/rounds/llama2_70b_lora']"), "text='1.274' >> nth=0"),
    ),
    "who states FP4, and did it need more samples": (
        Route((), "text=/NVFP4 .* significantly more/ >> nth=0"),
        # Of one benchmark: what it needs in another is on that one's page.
        Route(("nav >> text=Benchmarks", "text='Llama 3.1 8B pretraining'"), "td:has-text('NVFP4') >> nth=0"),
    ),
    "which of two systems scales better": (
        Route((), "text=/twice the accelerators make/ >> nth=0"),
        Route(("th a[href='/benchmarks/llama2_70b_lora']",), "th:has-text('Exponent') >> nth=0"),
    ),
    "the stack of one system": (
        Route((_BEST_OF_EIGHT,), "section[aria-labelledby=software] >> text=NGC container"),
    ),
}
"""The questions, each with the ways to its answer."""

# The evidence of what the front page says in a sentence: a click more.
EVIDENCE: dict[str, Route] = {
    "fastest 8-accelerator Llama 3.1 8B": Route((_BEST_OF_EIGHT,), "text=/67\\.37/ >> nth=0"),
    "how much faster than the last round on the same hardware": Route(
        ("a.evidence[href='/rounds/llama2_70b_lora'] >> nth=0",), "text='1.274' >> nth=0"
    ),
    "who states FP4, and did it need more samples": Route(
        ("nav >> text=Precision",), "text=/9 of 10 significantly more/ >> nth=0"
    ),
    "which of two systems scales better": Route(
        ("a.evidence[href*='/benchmarks/llama2_70b_lora'] >> nth=0",), "th:has-text('Exponent') >> nth=0"
    ),
}


def read(page: Page, address: str, routes: tuple[Route, ...]) -> tuple[int, float]:
    """Open the front page and follow the first route that it offers; return the clicks and the seconds."""
    begun = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator("footer").wait_for()
    route = next(each for each in routes if page.locator((*each.clicks, each.answer)[0]).count())
    for link in route.clicks:
        page.locator(link).click(no_wait_after=True)
    answer = page.locator(route.answer)
    answer.wait_for()
    answer.scroll_into_view_if_needed()
    page.evaluate(_DRAWN)
    return len(route.clicks), time.perf_counter() - begun


def visit(browser: Browser, address: str, width: int, routes: tuple[Route, ...]) -> tuple[int, float]:
    """Read with an empty cache."""
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        return read(context.new_page(), address, routes)


def report(browser: Browser, address: str, visits: int, width: int) -> None:
    """Print the table."""
    print("| task | clicks | first visit, s | later, s | evidence: clicks | s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for task, routes in TASKS.items():
        clicks, first = visit(browser, address, width, routes)
        later = median(visit(browser, address, width, routes)[1] for _ in range(visits))
        cells = [task, f"{clicks}", f"{first:.2f}", f"{later:.2f}"]
        way = EVIDENCE.get(task)
        if way and not clicks and _offers(browser, address, way):
            times = [visit(browser, address, width, (way,))[1] for _ in range(visits)]
            cells += [f"{len(way.clicks)}", f"{median(times):.2f}"]
        else:
            cells += ["", ""]
        print(f"| {' | '.join(cells)} |", flush=True)


def _offers(browser: Browser, address: str, route: Route) -> bool:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        return page.locator(route.clicks[0]).count() > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--visits", type=int, default=5, help="of each task, beside the first (default: 5)")
    parser.add_argument("--width", type=int, default=1440, help="of the window (default: 1440)")
    parser.add_argument(
        "--source", type=Path, default=Path(__file__).parents[1], help="a checkout (default: this one)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, "-m", "pitboard", "serve", "--port", "0", "--store", f"{folder}/store"]
        environment = os.environ | {"PYTHONPATH": str(arguments.source / "src")}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "http://" not in line:
                sys.exit(f"The server of {arguments.source} did not start: {line}")
            browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
            try:
                report(browser, line.split()[2], arguments.visits, arguments.width)
            finally:
                browser.close()
                process.terminate()


if __name__ == "__main__":
    main()
