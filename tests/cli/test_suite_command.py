"""`pitboard suite` as a real process."""

import json
import os
import subprocess
import sys

import pytest

from pitboard import suite
from support import Command

ROUND = suite.round("5.1")


def test_the_table_holds_each_benchmark_on_a_line_of_its_own_when_piped(pitboard: Command) -> None:
    shown = pitboard("suite")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    for benchmark in ROUND.benchmarks:
        (line,) = [line for line in lines if line.startswith(f"{benchmark.id} ")]
        assert benchmark.dataset in line
        assert f"{benchmark.target} {benchmark.metric}" in line
        assert line.endswith(f"{benchmark.evaluation.samples:,}".rjust(22) + f"{benchmark.runs:>6}")
    for retired in ROUND.retired:
        (line,) = [line for line in lines if line.startswith(f"{retired.id} ")]
        assert retired.replaced_by in line


@pytest.mark.parametrize("benchmark", [b.id for b in ROUND.benchmarks])
def test_one_in_full_shows_every_hyperparameter_and_setting(benchmark: str, pitboard: Command) -> None:
    shown = pitboard("suite", benchmark)
    assert shown.returncode == 0, shown.stderr
    raced = ROUND.benchmark(benchmark)
    assert raced.evaluation.rule in shown.stdout
    hyperparameters, _, presets = shown.stdout.partition("Hyperparameters")[2].partition("Presets")
    rows = {line.split("  ")[0]: line for line in hyperparameters.splitlines()}
    for hyperparameter in raced.hyperparameters:
        assert hyperparameter.constraint in rows[hyperparameter.name]
    settings = {line.split("  ")[0]: line.split()[1:] for line in presets.splitlines() if line.strip()}
    for column, preset in enumerate(raced.presets):
        for setting, value in preset.values.items():
            assert settings[setting][column] == ("none" if value is None else str(value))
    points = shown.stdout.partition("Official reference convergence points")[2].splitlines()
    listed = [line.split(maxsplit=2) for line in points if line.lstrip()[:1].isdigit()]
    official = suite.official_points(ROUND, benchmark)
    for point, (batch, _, hyperparameters) in zip(official, listed, strict=True):
        assert batch == f"{point.global_batch_size:,}"
        assert all(f"{k} {v}" in hyperparameters for k, v in point.hyperparameters.items() if v != [])
    assert (f"pitboard run {benchmark} --preset full --rcp BATCH" in shown.stdout) == bool(raced.presets)


def test_a_narrow_terminal_wraps_between_words() -> None:
    pty = pytest.importorskip("pty")
    fcntl, termios, struct = (pytest.importorskip(name) for name in ("fcntl", "termios", "struct"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES"}} | {"TERM": "dumb"}
    process = subprocess.Popen([sys.executable, "-m", "pitboard", "suite"], stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    assert process.wait() == 0
    lines = shown.decode().replace("\r", "").splitlines()
    assert max(map(len, lines)) <= 80
    words = set(shown.decode().split())
    for benchmark in ROUND.benchmarks:
        facts = (benchmark.id, benchmark.area, benchmark.model, benchmark.dataset, benchmark.metric)
        assert words.issuperset(word for fact in facts for word in fact.split())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def test_json_carries_the_same_facts(pitboard: Command) -> None:
    whole = json.loads(pitboard("suite", "--format", "json").stdout)
    assert [b["id"] for b in whole["benchmarks"]] == [b.id for b in ROUND.benchmarks]
    assert whole["published"] == "2025-11-12"
    one = json.loads(pitboard("suite", "llama31_405b", "--round", "v5.1", "--format", "json").stdout)
    assert one in whole["benchmarks"]
    assert one["evaluation"]["skipped_per_batch_sample"] == 0.0026
    assert [point["global_batch_size"] for point in one["official_points"]] == [1152, 2304, 4608]


def test_a_round_of_which_only_the_rules_are_known_is_listed_with_its_targets(pitboard: Command) -> None:
    shown = pitboard("suite", "--round", "6.1")
    assert shown.returncode == 0, shown.stderr
    rows = {line.split("  ")[0]: line for line in shown.stdout.splitlines()}
    official = suite.official_benchmarks(suite.round("6.1"))
    assert len(official) == 7
    for each in official:
        (target,) = each.targets
        assert f" {target} " in rows[each.id]
        assert f" {each.runs} " in rows[each.id]
    whole = json.loads(pitboard("suite", "--round", "6.1", "--format", "json").stdout)
    assert (whole["version"], whole["published"], whole["benchmarks"]) == ("6.1", None, [])
    assert [(each["id"], each["targets"][0]["value"]) for each in whole["official_benchmarks"]] == [
        (each.id, each.targets[0].value) for each in official
    ]


def test_an_unknown_round_is_one_sentence_and_exit_2(pitboard: Command) -> None:
    refused = pitboard("suite", "--round", "6.2")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "Error: There is no round '6.2'. The nearest are 6.0 and 6.1.\n"


def test_an_unknown_benchmark_is_one_sentence_and_exit_2(pitboard: Command) -> None:
    refused = pitboard("suite", "llama3_8b")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr == "Error: Round 5.1 has no benchmark 'llama3_8b'. Did you mean 'llama31_8b'?\n"
