"""`pitboard run --scale`: the same runs on several numbers of ranks, planned, run, resumed and answered."""

import csv
import json
from pathlib import Path

import pytest

from pitboard.errors import PitboardError
from pitboard.launch.counts import parse_counts
from pitboard.launch.plan import RunRequest
from pitboard.launch.scale import plan_scale, read_scale, record_scale
from support import Command, tiny

TINY = RunRequest(
    benchmark="llama31_8b", overrides={"precision": "fp32", "global_batch_size": 8}, seed=3, runs=2
)


@pytest.mark.parametrize("text", ["", "0", "1,", "2,2", "1,x", "-1", "1.5", "²", "9999999"])
def test_numbers_of_ranks_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(PitboardError, match="expected numbers of ranks or nodes"):
        parse_counts(text)


def test_each_number_of_ranks_has_a_plan_that_differs_in_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse_counts("4, 1,2") == [1, 2, 4]
    scale = plan_scale(tmp_path, TINY, [1, 2, 4])
    assert {name: plan.nproc for name, (_, plan) in scale.members.items()} == {"1": 1, "2": 2, "4": 4}
    assert {tuple(plan.seeds) for _, plan in scale.members.values()} == {(3, 4)}
    plans = [plan.settings for _, plan in scale.members.values()]
    assert plans[0] == plans[1] == plans[2]
    record_scale(scale)
    again = read_scale(tmp_path)
    assert [plan for _, plan in again.members.values()] == [plan for _, plan in scale.members.values()]
    for options, counts, match in (
        ({"nproc": 2}, [1, 2], "leave out --nproc"),
        ({}, [1, 3], "global_batch_size 8 cannot be divided over 3"),
        ({"overrides": {"replicas": 2}}, [1, 2], "1 ranks cannot be divided into 2 replicas"),
    ):
        request = RunRequest(**{"benchmark": "llama31_8b", "overrides": TINY.overrides, **options})  # type: ignore[arg-type]
        with pytest.raises(PitboardError, match=match):
            plan_scale(tmp_path / "other", request, counts)
    with pytest.raises(PitboardError, match="holds an earlier --scale"):
        plan_scale(tmp_path, TINY, [1, 2])
    (tmp_path / "scale.json").write_text('["../1"]')
    with pytest.raises(PitboardError, match="is damaged"):
        read_scale(tmp_path)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(PitboardError, match="without torchrun"):
        plan_scale(tmp_path / "other", TINY, [1])


@pytest.mark.slow
def test_two_ranks_beside_one_are_answered_resumed_and_repeated(pitboard: Command, tmp_path: Path) -> None:
    folder, chart = tmp_path / "scaled", tmp_path / "scaled.svg"
    arguments = [*tiny("llama31_8b"), "--set", "max_samples=16", "--precision", "fp32", "--seed", 3]
    done = pitboard(
        *arguments, "--scale", "1,2", "--output", folder, "--format", "json", "--chart", chart, cwd=tmp_path
    )
    assert done.returncode == 1, done.stderr  # a tiny model does not reach the target
    document = json.loads(done.stdout)
    assert [row["ranks"] for row in document["rows"]] == [1, 2]
    assert [member["runs"][0]["ranks"] for member in document["members"]] == [1, 2]
    two = document["rows"][1]
    parts = sum(value for name, value in two.items() if name.startswith("lost_"))
    assert parts == pytest.approx(2 - two["acts_like"])
    assert two["communication_ms"] > 0
    assert sum(document["members"][1]["runs"][0]["step"]["busy"]) > 0
    assert "2 ranks act like" in chart.read_text()

    again = pitboard("run", "--resume", folder, "--format", "csv", cwd=tmp_path)
    assert again.returncode == 1, again.stderr
    rows = list(csv.DictReader(again.stdout.splitlines()))
    assert [(row["ranks"], float(row["acts_like"])) for row in rows] == [
        (str(row["ranks"]), row["acts_like"]) for row in document["rows"]
    ]

    plan = json.loads((folder / "1" / "run.json").read_text())
    assert plan["environment"]["packages"]["torch"]
    plan["environment"]["packages"]["torch"] = "0.1"
    (folder / "1" / "run.json").write_text(json.dumps(plan))
    repeated = pitboard("run", "--like", folder / "1", "--output", tmp_path / "again", cwd=tmp_path)
    assert "Not as in the run before: torch" in repeated.stdout
    compared = pitboard("results", "compare", folder / "1", tmp_path / "again", cwd=tmp_path)
    assert compared.returncode == 0, compared.stderr
    assert "in one run each" in compared.stdout
    assert "torch" in compared.stdout
