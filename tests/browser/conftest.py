"""A real `pitboard serve` process, and Chromium to look at it with."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from support import command_environment

_CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
_ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

Watched = Callable[..., Page]
Theme = Literal["light", "dark"]

expect.set_options(timeout=20_000)  # a busy machine is slow, and slowness is measured elsewhere


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve on a free port; give the address, without a slash at its end."""
    home = tmp_path_factory.mktemp("server")
    command = [sys.executable, "-m", "pitboard", "serve", "--port", "0", "--store", str(home / "store")]
    environment = command_environment(home)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://" in line, line
        yield line.split()[2].rstrip("/")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


# Not for the session: while Playwright runs, no other test of the same process can have an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium, or skip without it; `.ci/run` installs it."""
    if not Path(_CHROMIUM).exists():
        pytest.skip("Chromium is not installed; on Debian: apt-get install -y chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        yield chromium
        chromium.close()


def _is_wrong(message: ConsoleMessage) -> bool:
    """Tell a mistake of ours from what is meant: that an upload is refused, or a submitter is not there."""
    meant = "status of 422" in message.text or message.location.get("url", "").endswith("submitter=Nobody")
    return message.type in ("error", "warning") and not meant


@pytest.fixture
def watched(browser: Browser, server: str) -> Iterator[Watched]:
    """Open pages, and fail where one asked another origin, broke the policy or reported an error."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_page(path: str = "/", width: int = 1280, theme: Theme = "light", **options: Any) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, base_url=server, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda r: None if r.url.startswith(f"{server}/") else wrong.append(r.url))
        page.on("console", lambda m: wrong.append(m.text) if _is_wrong(m) else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
