"""What the official tool says of the published rounds, recorded: its verdict on an archive is a constant.

Asking it about 13,370 logs and 1,700 results takes half an hour of CPU. So `official/<round>.json` holds its
answers, and all that they depend on: the archive, every file of mlperf-logging and the libraries that it
computes with. Where any of these differs, and where `PITBOARD_OFFICIAL=live` asks for it, the tests ignore
the record and ask the tool itself; about a sample they ask it in every run.
`python tests/parity/recorded.py DATA` records anew.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mlperf_logging
import official_checker
import official_package

_FOLDER = Path(__file__).parent / "official"

Answers = dict[str, Any]
"""`logs_not_valid`, `logs` (their number and a digest of their names), and by place `rows` and `results`; of
a result `rcp`, `seeds` and `score`, its minutes and energy. `None` is a traceback."""


@cache
def answers(round: str, archive: Path) -> Answers | None:
    """Give what is recorded of a round, or `None` where the official tool itself has to be asked."""
    if os.environ.get("PITBOARD_OFFICIAL") == "live":
        return None
    file = _FOLDER / f"{round}.json"
    if not file.exists():
        return None
    recorded = json.loads(file.read_text())
    return recorded["answers"] if recorded["of"] == _depends_on(archive) else None


def names(logs: Iterable[str]) -> list[object]:
    """Give the number of logs, and a digest of their names."""
    ordered = sorted(logs)
    return [len(ordered), hashlib.sha256("\n".join(ordered).encode()).hexdigest()]


def ask(place: Path, ruleset: str) -> Answers:
    """Ask the official tool about one submitter: the scores, and each result's RCP verdict and seeds."""
    logs = {
        str(log): official_checker.verdict(log, ruleset) for log in place.glob("results/*/*/result_*.txt")
    }
    return {
        "logs": logs,
        "rows": official_package.rows(place, ruleset, lambda log: bool(logs[log])),
        "results": {
            str(folder.relative_to(place)): {
                "rcp": official_package.rcp(folder, ruleset),
                "seeds": official_package.seeds_pass(folder, ruleset),
                "score": official_package.score(folder, ruleset, lambda log: bool(logs[log])),
            }
            for folder in sorted(place.glob("results/*/*"))
            if folder.is_dir()
        },
    }


def _depends_on(archive: Path) -> dict[str, str]:
    package = Path(mlperf_logging.__file__).parent
    code = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in {".py", ".yaml", ".json"}:
            code.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    libraries = {name: version(name) for name in ("mlperf-logging", "numpy", "pandas", "scipy")}
    with archive.open("rb") as stream:
        return {
            "archive": hashlib.file_digest(stream, "sha256").hexdigest(),
            "code": code.hexdigest(),
            **libraries,
        }


def _record(round: str, archive: Path, root: Path) -> None:
    places = sorted(folder for folder in root.iterdir() if folder.is_dir())
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        asked = list(pool.map(partial(ask, ruleset=f"{round}.0"), places))
    logs = {str(Path(log).relative_to(root)): valid for each in asked for log, valid in each["logs"].items()}
    found = {
        "logs": names(logs),
        "logs_not_valid": sorted(log for log, valid in logs.items() if not valid),
        "places": {
            place.name: {"rows": each["rows"], "results": each["results"]}
            for place, each in zip(places, asked, strict=True)
        },
    }
    _FOLDER.mkdir(exist_ok=True)
    text = json.dumps({"of": _depends_on(archive), "answers": found}, indent=1, sort_keys=True)
    (_FOLDER / f"{round}.json").write_text(text + "\n")


if __name__ == "__main__":
    from published_rounds import unpacked

    for file in sorted(Path(sys.argv[1]).glob("mlperf_training_v*.tar.zst")):
        number = file.name.removeprefix("mlperf_training_v").removesuffix(".tar.zst")
        _record(number, file, unpacked(file))
