"""`pitboard run --all`: every benchmark of a round one after the other, and one table."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from pitboard import suite
from pitboard.cli.outcome import _line
from pitboard.cli.run import run
from pitboard.errors import PitboardError
from pitboard.launch import series
from pitboard.launch.plan import RunRequest, make_plan
from pitboard.launch.suite_race import SuiteRace, plan_suite_race, record
from pitboard.training.output import Output
from support import Command, command_environment, the_run, tiny


@pytest.fixture(autouse=True)
def at_home(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in command_environment(cache).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def begun(folder: Path, **changes: dict[str, str]) -> SuiteRace:
    """Write what `--all` does before it starts the first run, of two tiny benchmarks."""
    race = SuiteRace(folder, {})
    for name in ("llama31_8b", "llama31_405b"):
        settings = dict(word.split("=", 1) for word in tiny(name)[3::2]) | {"precision": "fp32"}
        overrides = settings | {"max_samples": "16", **changes.get(name, {})}
        plan = make_plan(RunRequest(benchmark=name, overrides=overrides, seed=5))
        race.members[name] = (Output(folder / name), plan)
    record(race)
    for output, _ in race.members.values():
        assert output._lock_file is not None
        output._lock_file.close()
    return race


@pytest.mark.slow
def test_one_that_fails_does_not_keep_the_next_from_its_target(pitboard: Command, tmp_path: Path) -> None:
    begun(tmp_path / "out", llama31_8b={"learning_rate": "1e30"}, llama31_405b={"target": "9"})
    done = pitboard("run", "--resume", tmp_path / "out", "--format", "json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"], document["error"]) == (2, 2, None)
    broken, reached = document["benchmarks"]
    assert (broken["benchmark"], broken["reached"]) == ("llama31_8b", False)
    assert "training diverged" in broken["error"]
    assert (reached["reached"], reached["error"], reached["samples"]) == (True, None, 16)
    assert reached["quality"] == the_run(tmp_path / "out" / "llama31_405b").evaluations[-1].quality
    assert document["not_raced"] == [
        each.id for each in suite.round("5.1").benchmarks if "llama31" not in each.id
    ]

    again = pitboard("run", "--resume", tmp_path / "out")
    assert again.returncode == 2
    rows = {line.split()[0]: line for line in again.stdout.splitlines() if line.startswith("llama31")}
    assert "could not run: The gradient norm became" in rows["llama31_8b"]
    assert rows["llama31_405b"].split()[:6] == ["llama31_405b", "≤", "9", "log", "perplexity", "16"]
    # Its target is not the preset's.
    assert rows["llama31_405b"].rstrip().endswith("  reached, not valid")
    assert "Not raced, without the preset smoke: flux1," in again.stdout


def test_it_plans_every_benchmark_that_has_the_preset(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(every=True, dry_run=True, format="json", output=tmp_path / "out", runs=2)
    document = json.loads(capfd.readouterr().out)
    assert document["dry_run"] is True
    with_smoke = [each.id for each in suite.round("5.1").benchmarks if each.presets]
    assert [each["benchmark"] for each in document["benchmarks"]] == with_smoke
    assert all(len(each["seeds"]) == 2 for each in document["benchmarks"])
    assert document["benchmarks"][0]["writes"]["output"] == str(tmp_path / "out" / with_smoke[0])
    assert sorted(with_smoke + document["not_raced"]) == sorted(b.id for b in suite.round("5.1").benchmarks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"benchmark": "llama31_8b"}, "leave out llama31_8b"),
        ({"like": Path("out")}, "leave out --like"),
        ({"samples_grid": Path("a.png")}, "leave out --samples-grid"),
        ({"preset": "smok"}, "No benchmark of round 5.1 has the preset 'smok'"),
        ({"assignments": ["sequence_lenght=3"]}, "Unknown setting 'sequence_lenght'"),
        ({"output": Path("earlier")}, "holds an earlier race: continue that with `pitboard run --resume"),
        ({"resume": Path("damaged")}, "is damaged"),
    ],
)
def test_what_cannot_be_raced_is_refused_before_anything_is_written(
    options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    for folder, text in (("earlier", '["llama31_8b"]'), ("damaged", '["../other"]')):
        Path(folder).mkdir()
        Path(folder, "suite.json").write_text(text)
    with pytest.raises(PitboardError, match=sentence):
        run(every=True, **options)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        *("damaged", "earlier", "suite.json", "suite.json")
    ]


def test_the_exit_code_is_the_worst_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path / "out")
    monkeypatch.setattr(series, "run_series", lambda *_, **__: None)
    with pytest.raises(typer.Exit) as ended:
        run(resume=tmp_path / "out", quiet=True)
    assert ended.value.exit_code == 1
    (line,) = capfd.readouterr().out.splitlines()
    assert line == f"0 of 2 benchmarks reached their target; output {tmp_path / 'out'}"


def test_what_has_no_target_is_not_counted_as_having_reached_it() -> None:
    def ended(target: float | None, reached: bool | None, error: str | None = None) -> dict[str, Any]:
        return {"target": target, "reached": reached, "error": error}

    some = {"output": "out", "benchmarks": [ended(3.0, True), ended(3.0, False), ended(None, None)]}
    assert _line(some) == (
        "1 of 2 benchmarks reached their target, 1 of 1 without a target ended; output out"
    )
    none = {"output": "out", "benchmarks": [ended(None, None), ended(None, None, "out of memory")]}
    assert _line(none) == "1 of 2 without a target ended; output out"


def test_a_requeued_job_continues_the_race_that_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, request = tmp_path / "out", RunRequest(overrides={"precision": "fp32"})
    race = plan_suite_race(folder, request)
    record(race)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    again = plan_suite_race(folder, request)
    record(again)
    drawn = [[plan.seeds for _, plan in each.members.values()] for each in (race, again)]
    assert drawn[0] == drawn[1]
    with pytest.raises(PitboardError, match="holds an earlier race"):
        plan_suite_race(folder, RunRequest(overrides={"precision": "bf16"}))
    with pytest.raises(PitboardError, match="must find the folder that it wrote before: name it with --out"):
        run(every=True)
