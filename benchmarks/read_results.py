"""Measure the results room: ingest of a round, a table and a chart from the shell, questions of a big store.

    python benchmarks/read_results.py [ROUND_FOLDER] [--rounds 200] [--times 10]

Ingest stands beside a plain reader of the same logs (one `json.loads` a line into a pandas frame, then
Parquet), which neither checks nor scores; the table beside `import duckdb` and beside pandas reading the same
Parquet; the chart beside one that Altair draws of that; each in the same run, in processes of their own,
taking turns, without a store of the user's. The large store repeats the shipped round 5.1 as that many rounds
of thrice the systems. Without a folder, the archive in ../shared/data is used.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec
from backports import zstd

from pitboard import results
from pitboard.results.schema import TABLES, VERSION
from pitboard.results.store import SHIPPED, Manifest, Store

_ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "mlperf_training_v5.1.tar.zst"

_INGEST = """
import sys
from pathlib import Path
from pitboard.results.ingest import read_rows
from pitboard.results.store import Store
Store(sys.argv[2], shipped=False).add(read_rows(Path(sys.argv[1])))
"""
_PLAIN_INGEST = """
import json, sys
from pathlib import Path
import pandas
rows = []
for log in sorted(Path(sys.argv[1]).glob("*/results/*/*/result_*.txt")):
    for line in log.read_text("utf-8", "replace").splitlines():
        at = line.find(":::MLLOG ")
        if at >= 0:
            try:
                event = json.loads(line[at + 9 :])
            except ValueError:
                continue
            rows.append((str(log), event.get("key"), event.get("time_ms"), str(event.get("value"))))
pandas.DataFrame(rows, columns=["log", "key", "time_ms", "value"]).to_parquet(sys.argv[2] + ".parquet")
"""
_PANDAS_TABLE = """
import sys
import pandas
results = pandas.read_parquet(sys.argv[1])
chosen = results[(results["round"] == "5.1") & ~results["own"]]
keys = ["submitter", "system", "division", "availability", "nodes", "accelerator", "accelerators"]
print(chosen.pivot_table(index=keys, columns="benchmark", values="minutes").to_string())
"""
_ALTAIR_CHART = """
import sys
import altair, pandas
results = pandas.read_parquet(sys.argv[1])
chosen = results[(results["round"] == "5.1") & ~results["own"] & (results["benchmark"] == "llama31_8b")]
x, y = (altair.Scale(type="log") for _ in "xy")
points = altair.Chart(chosen[["submitter", "accelerator", "accelerators", "minutes"]]).encode(
    altair.X("accelerators:Q", scale=x),
    altair.Y("minutes:Q", scale=y),
    color="accelerator:N",
    detail="submitter:N",
)
(points.mark_line() + points.mark_point()).save(sys.argv[2])
"""


class Taken(NamedTuple):
    """What a process took: seconds by the clock, CPU seconds of all its threads."""

    wall: float
    cpu: float


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--times", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        os.environ["PITBOARD_STORE"] = str(place / "none")
        ingest(arguments.folder or unpack(place), place, max(arguments.times // 3, 1))
        shell(arguments.times, place / "chart.svg")
        questions(large_store(place / "large", arguments.rounds))


def unpack(place: Path) -> Path:
    """Unpack the shared archive of v5.1; give the round's folder."""
    with zstd.open(_ARCHIVE) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extractall(place / "round", filter="data")
    return next((place / "round").iterdir())


def ingest(folder: Path, place: Path, times: int) -> None:
    """Time the ingest of a round and the plain reader, taking turns."""
    ours, plain = [], []
    for turn in range(times):
        ours.append(timed([sys.executable, "-c", _INGEST, str(folder), str(place / f"store-{turn}")]))
        plain.append(timed([sys.executable, "-c", _PLAIN_INGEST, str(folder), str(place / f"plain-{turn}")]))
    print(f"Ingest of {folder.name}, median of {times}")
    show("check, score and add", ours)
    show("plain: json a line, pandas, no check", plain)
    ratio = statistics.median(t.wall for t in plain) / statistics.median(t.wall for t in ours)
    print(f"  ratio {ratio:.2f} ×")


def shell(times: int, drawn: Path) -> None:
    """Time a table and a chart from the shell beside what any answer by DuckDB, pandas or Altair costs."""
    pitboard = [sys.executable, "-m", "pitboard"]
    parquet = str(SHIPPED / "results.parquet")
    scale = [*pitboard, "results", "scale", "--benchmark", "llama31_8b", "--round", "5.1"]
    commands = {
        "pitboard results table --round 5.1": [*pitboard, "results", "table", "--round", "5.1"],
        "python -c 'import duckdb'": [sys.executable, "-c", "import duckdb"],
        "pandas, the same table": [sys.executable, "-c", _PANDAS_TABLE, parquet],
        "pitboard results scale": scale,
        "pitboard results scale --chart SVG": [*scale, "--chart", str(drawn)],
        "pitboard results scale --chart PNG": [*scale, "--chart", str(drawn.with_suffix(".png"))],
        "Altair and pandas, the same points": [sys.executable, "-c", _ALTAIR_CHART, parquet, str(drawn)],
    }
    taken: dict[str, list[Taken]] = {name: [] for name in commands}
    for _ in range(times):
        for name, command in commands.items():
            taken[name].append(timed(command))
    print(f"A table and a chart from the shell, {times} times in turn")
    for name, times_taken in taken.items():
        show(name, times_taken)


def large_store(place: Path, rounds: int) -> Store:
    """Write a store of many rounds: the shipped 5.1 with other names, every system three times."""
    generation = place / "generation-large"
    generation.mkdir(parents=True)
    connection = duckdb.connect()
    for table, columns in TABLES.items():
        names = {"round": "(n + 100)::varchar || '.0' as round", "system": "system || '-' || m as system"}
        chosen = ", ".join(names.get(column, column) for column in columns)
        copies = 1 if table == "rounds" else 3
        order = ", ".join(column for column in ("round", "submitter", "system") if column in columns)
        connection.execute(
            f"copy (select {chosen} from '{SHIPPED / table}.parquet', range({rounds}) a(n), "
            f"range({copies}) b(m) where round = '5.1' order by {order}) "
            f"to '{generation / table}.parquet' (compression zstd)"
        )
    (place / "store.json").write_bytes(msgspec.json.encode(Manifest(VERSION, generation.name)))
    return Store(place)


def questions(store: Store) -> None:
    """Time every question, the first time and then the median of five."""
    (counts,) = store.rows("select (select count(*) from systems) as s, (select count(*) from results) as r")
    print(f"A store of {counts['s']:,} systems and {counts['r']:,} results: first, then median of five")
    a = "150.0/Lenovo/SR680aV3-8xB200_SXM_180GB-0/llama31_8b"
    b = "150.0/NVIDIA/theia_ngpu8_ngc25.09_nemo-1/llama31_8b"
    asked: dict[str, Callable[[], object]] = {
        "table": lambda: results.table("150.0", store=store),
        "table, filtered": lambda: results.table("150.0", "llama31_8b", submitter="NVIDIA", store=store),
        "compare": lambda: results.compare(a, b, store=store),
        "scale": lambda: results.scale("llama31_8b", "150.0", store=store),
        "converge": lambda: results.converge("llama31_8b", store=store),
        "rounds": lambda: results.rounds("llama31_8b", store=store),
        "why": lambda: results.why(a, b, store=store),
        "stack": lambda: results.stack(a, b, store=store),
        "roster": lambda: results.roster("150.0", store=store),
        "sanity": lambda: results.sanity(a, store=store),
        "sql": lambda: results.sql("select round, count(*) from results group by 1", store=store),
    }
    for name, ask in asked.items():
        seconds = []
        for _ in range(6):
            began = time.perf_counter()
            ask()
            seconds.append(time.perf_counter() - began)
        print(f"  {name:20} {seconds[0] * 1000:6.0f} ms {statistics.median(seconds[1:]) * 1000:6.0f} ms")


def timed(command: list[str]) -> Taken:
    """Run a command to its end; give what it took. Raises `CalledProcessError` where it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    # Of this child alone: `getrusage` would give the largest of all children so far.
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Taken(wall, usage.ru_utime + usage.ru_stime)


def show(name: str, taken: list[Taken]) -> None:
    """Print a name with its median and worst seconds, and median CPU seconds."""
    walls = [one.wall for one in taken]
    cpu = statistics.median(one.cpu for one in taken)
    print(f"  {name:40} {statistics.median(walls):6.3f} s, worst {max(walls):.3f} s, CPU {cpu:.3f} s")


if __name__ == "__main__":
    main()
