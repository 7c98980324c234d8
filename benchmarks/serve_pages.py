"""How long a page takes with 50 readers at once.

    python benchmarks/serve_pages.py [--readers 50] [PATH ...]

Starts a real `pitboard serve`, opens one keep-alive connection per reader on loopback, and lets every reader
ask for the paths in turn, one request after another. Prints, per path and in all, the 50th and 95th
percentile of the milliseconds that a reader waits and that the server says it spent (`Server-Timing`).
One reader asks for the table of results as soon as the server has said its address, and so waits until it
has opened its store; that is said apart. The rows "first" are pages that nobody asked for before, of the
newest round: systems, tables of each submitter in each benchmark, and the same as JSON. One reader alone
asks for a quarter of them, then all readers at once for the rest, each for another one. Beside them stands
what a page costs the server's processors, which other work on the machine changes less than the time that a
reader waits.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlencode

from pitboard.web.links import system_address

_A, _B = "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b", "5.1/Nebius/nebius_b200_n1/llama31_8b"
PATHS = (
    *(
        "/",
        "/results",
        "/results?benchmark=llama31_8b&accelerators=8",
        "/benchmarks",
        "/benchmarks/llama31_8b",
    ),
    *("/rounds", "/rounds/llama2_70b_lora", "/compare", f"/compare?r={_A}&r={_B}"),
    *("/systems/5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo", "/check", "/rules"),
    *(f"/api/compare?a={_A}&b={_B}", "/charts/scale.svg?benchmark=llama31_8b&kind=scale&theme=light"),
)
TARGET_MS = 50.0
FIRST_MS = 150.0
WIDTH = 50

Pair = tuple[float, float]
Times = dict[str, list[Pair]]


async def read_pages(port: int, paths: list[str], requests: int, first: int, times: Times) -> None:
    """Be one reader: ask for `requests` pages on one connection, beginning with the path number `first`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(requests):
        path = paths[(first + number) % len(paths)]
        begun = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"^content-length: (\d+)", head, re.M | re.I)
        await reader.readexactly(int(length[1]) if length else 0)
        waited = (time.perf_counter() - begun) * 1000
        spent = re.search(r"^server-timing: total;dur=([\d.]+)", head, re.M | re.I)
        if " 200 " not in head.partition("\r\n")[0] or not spent:
            sys.exit(f"{path} was answered with {head.splitlines()[0]}")
        times[path].append((waited, float(spent[1])))
    writer.close()


async def measure(port: int, paths: list[str], readers: int, requests: int) -> Times:
    """Let all readers read at once."""
    times: Times = defaultdict(list)
    await asyncio.gather(*(read_pages(port, paths, requests, n, times) for n in range(readers)))
    return times


def addresses_of_the_round() -> dict[str, list[str]]:
    """Give addresses of the newest round by kind, each once."""
    from pitboard import results

    answer = results.table()
    round = answer.parameters["round"]
    benchmarks = [column.name for column in answer.columns if column.unit == "min"]
    pairs = {
        urlencode({"benchmark": benchmark, "submitter": row["submitter"]})
        for row in answer
        for benchmark in benchmarks
        if row[benchmark] is not None
    }
    return {
        "systems": [system_address(round, row["submitter"], row["system"]) for row in answer],
        "tables": [f"/results?{pair}" for pair in sorted(pairs)],
        "JSON": [f"/api/table?{pair}" for pair in sorted(pairs)],
    }


async def measure_first(
    port: int, server: int, readers: int, addresses: list[str]
) -> tuple[list[Pair], list[Pair], float]:
    """Ask for each address once: a quarter of them by one reader, the rest by all readers at once.

    Gives the times of both, and the milliseconds of the server's processors a page.
    """
    alone: Times = defaultdict(list)
    together: Times = defaultdict(list)
    before = processor_seconds(server)
    few = len(addresses) // 4
    await read_pages(port, addresses[:few], few, 0, alone)
    shares = [addresses[few + n :: readers] for n in range(readers)]
    await asyncio.gather(*(read_pages(port, each, len(each), 0, together) for each in shares if each))
    cost = (processor_seconds(server) - before) * 1000 / len(addresses)
    one, all_ = ([pair for each in times.values() for pair in each] for times in (alone, together))
    return one, all_, cost


def processor_seconds(process: int) -> float:
    """Give what a process has used of the processors, in all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(name: str, pairs: list[tuple[float, float]]) -> float:
    """Print a row; return the server's 95th percentile."""
    waited, spent = (quantiles(column, n=20) for column in zip(*pairs, strict=True))
    print(
        f"{name:{WIDTH}} {len(pairs):8} {waited[9]:9.2f} {waited[18]:9.2f} {spent[9]:9.3f} {spent[18]:9.3f}"
    )
    return float(spent[18])


def main() -> None:
    """Start the server, measure, and stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=list(PATHS))
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--requests", type=int, default=200, help="requests of each reader")
    asked = parser.parse_args()
    command = [sys.executable, "-m", "pitboard", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline().split(":")[2].partition("/")[0])
            opening: Times = defaultdict(list)
            asyncio.run(read_pages(port, ["/results"], 1, 0, opening))
            first = {
                kind: asyncio.run(measure_first(port, server.pid, asked.readers, addresses))
                for kind, addresses in addresses_of_the_round().items()
            }
            begun = time.perf_counter()
            times = asyncio.run(measure(port, asked.paths, asked.readers, asked.requests))
            took = time.perf_counter() - begun
        finally:
            server.terminate()
    print(f"The first page of a server that has just started: {opening['/results'][0][0]:.0f} ms")
    print(f"{'path':{WIDTH}} {'requests':>8} {'wait p50':>9} {'p95':>9} {'server p50':>9} {'p95':>9}   (ms)")
    for kind, (alone, together, cost) in first.items():
        show(f"first, one reader: {kind}", alone)
        slow = show(f"first, {asked.readers} readers: {kind}", together)
        ratio = slow / FIRST_MS
        print(f"  {cost:.1f} ms of the processors a page; server p95 is {ratio:.2f} of {FIRST_MS:g} ms")
    for path in asked.paths:
        show(path if len(path) < WIDTH else f"{path[: WIDTH - 1]}…", times[path])
    pairs = [pair for each in times.values() for pair in each]
    slow = show("all", pairs)
    print(f"{len(pairs) / took:,.0f} requests/s; server p95 is {slow / TARGET_MS:.4f} of {TARGET_MS:g} ms")


if __name__ == "__main__":
    main()
