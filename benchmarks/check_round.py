"""Measure `pitboard check` and `pitboard score` against the official tools, on one whole round.

    python benchmarks/check_round.py ROUND_FOLDER [--ruleset 5.1.0] [--ours-only] [--copies 20]

The official side is what a reviewer runs: `package_checker` and `result_summarizer`, submitter by
submitter. Both sides run once, as processes of their own. Peak memory is that of all processes of a command
together. The last table shows how the cost per event changes from one log to many copies of the round.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass
class Cost:
    """What commands took in turn: seconds of wall clock and of processor, peak bytes, exit codes."""

    wall: float = 0.0
    processor: float = 0.0
    peak: int = 0
    exits: tuple[int, ...] = ()

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.wall + other.wall,
            self.processor + other.processor,
            max(self.peak, other.peak),
            self.exits + other.exits,
        )


def run(command: list[str], folder: Path) -> Cost:
    """Run a command in a folder, watching the memory of it and its children."""
    before = os.times()
    began = time.perf_counter()
    with (folder / "output.txt").open("ab") as output:
        process = psutil.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        peak = 0
        while process.poll() is None:
            peak = max(peak, _memory(process))
            time.sleep(0.1)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(time.perf_counter() - began, spent, peak, (process.returncode,))


def _memory(process: psutil.Process) -> int:
    total = 0
    try:
        for each in [process, *process.children(recursive=True)]:
            # Forked workers share pages with their parent; the proportional size counts each page once.
            total += each.memory_full_info().pss
    except psutil.Error:
        pass
    return total


def official(root: Path, ruleset: str, folder: Path) -> Cost:
    """Run the official package checker and summarizer on each submitter."""
    cost = Cost()
    for submitter in sorted(place for place in root.iterdir() if place.is_dir()):
        for tool in ("package_checker", "result_summarizer"):
            command = [sys.executable, "-m", f"mlperf_logging.{tool}", str(submitter), "training", ruleset]
            cost += run(command, folder)
    return cost


def ours(root: Path, folder: Path) -> Cost:
    """Run both of our commands on the whole round."""
    cost = Cost()
    for command in ("check", "score"):
        cost += run([sys.executable, "-m", "pitboard", command, str(root)], folder)
    return cost


def _copied(root: Path, times: int, folder: Path) -> Path:
    """Make a round of several copies of a round, by hard links, so that it takes no space."""
    many = folder / "copies"
    for number in range(times):
        for path in root.rglob("*"):
            target = many / f"{number}-{path.relative_to(root)}"
            if path.is_dir():
                target.mkdir(parents=True)
            elif len(path.relative_to(root).parts) > 1:
                os.link(path, target)
    return many


def _events(paths: Iterable[Path]) -> int:
    return sum(path.read_bytes().count(b":::MLLOG ") for path in paths)


def scaling(root: Path, copies: int, folder: Path) -> None:
    """Print the cost per event from one log to many copies of the round."""
    logs = sorted(root.rglob("result_*.txt"))
    whole = _events(logs)
    submitter = min((place for place in root.iterdir() if place.is_dir()), key=lambda place: place.name)
    print(f"\n{'checked':28}{'events':>12}{'wall s':>9}{'cpu s':>9}{'cpu us/event':>14}{'peak MB':>9}")
    idle = run([sys.executable, "-m", "pitboard", "--version"], folder)
    for name, path, events in (
        ("one log", logs[0], _events(logs[:1])),
        ("one submitter", submitter, _events(submitter.rglob("result_*.txt"))),
        ("the round", root, whole),
        (f"the round {copies} times", _copied(root, copies, folder), whole * copies),
    ):
        cost = run([sys.executable, "-m", "pitboard", "check", str(path)], folder)
        each = (cost.processor - idle.processor) / events * 1e6
        print(f"{name:28}{events:12,}{cost.wall:9.2f}{cost.processor:9.2f}{each:14.2f}{cost.peak / 1e6:9.0f}")
    print(f"(cpu us/event without the {idle.processor:.2f} s that starting the command takes)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="an unpacked round, a folder of submitters")
    parser.add_argument("--ruleset", default="5.1.0")
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument(
        "--ours-only", action="store_true", help="leave the official tools out; they take minutes"
    )
    asked = parser.parse_args()
    root = asked.root.resolve()
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        mine = ours(root, Path(scratch))
        print(f"{'':28}{'wall s':>9}{'cpu s':>9}{'peak MB':>9}  exit codes")
        print(
            f"{'pitboard':28}{mine.wall:9.2f}{mine.processor:9.2f}{mine.peak / 1e6:9.0f}  {set(mine.exits)}"
        )
        if not asked.ours_only:
            theirs = official(root, asked.ruleset, Path(scratch))
            exits = {code: theirs.exits.count(code) for code in set(theirs.exits)}
            print(
                f"{'official':28}{theirs.wall:9.2f}{theirs.processor:9.2f}{theirs.peak / 1e6:9.0f}  {exits}"
            )
            print(f"{'ratio':28}{theirs.wall / mine.wall:8.1f}x{theirs.processor / mine.processor:8.1f}x")
        scaling(root, asked.copies, Path(scratch))


if __name__ == "__main__":
    main()
