"""Every address that docs/serve.md shows is answered."""

import re
import shlex
from pathlib import Path

from fastapi.testclient import TestClient

from made_logs import as_text, valid_log

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
COMMANDS = [shlex.split(line) for line in PAGE.splitlines() if line.startswith("curl ")]


def test_what_the_page_asks_for_by_curl_is_answered(client: TestClient) -> None:
    assert len(COMMANDS) >= 6
    kinds = set()
    for command in COMMANDS:
        *options, address = command[1:]
        path = address.removeprefix("http://127.0.0.1:8000")
        if options:
            flag, field = options
            assert (flag, field.partition("=")[0]) == ("-F", "file"), command
            response = client.post(path, files={"file": ("result_0.txt", as_text(valid_log()).encode())})
        else:
            response = client.get(path)
        assert response.status_code == 200, (command, response.text)
        kinds.add(response.headers["content-type"].partition(";")[0])
    assert kinds == {"application/json", "text/csv", "image/svg+xml"}


def test_the_line_to_embed_and_the_paths_in_the_text_lead_to_pages(client: TestClient) -> None:
    (embedded,) = re.findall(r'<iframe src="https://pitboard.example.org(/[^"]+)"', PAGE)
    named = {path for path in re.findall(r"`(/[^`\s]*)`", PAGE) if not re.search(r"[A-Z…]|/$|^/charts", path)}
    assert {"/round/5.0", "/precision", "/claims", "/results", "/check", "/rounds.atom"} <= named
    for path in (embedded, *sorted(named - {"/api/sql"}), "/api/sql?query=select+1"):
        assert client.get(path).status_code == 200, path
