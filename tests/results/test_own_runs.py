"""Two of one's own runs side by side: what differed is named, and whether their times agree is told."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from made_logs import write_log
from made_results import preset_log
from pitboard.charts import as_json
from pitboard.charts.answers import draw
from pitboard.errors import PitboardError
from pitboard.results.questions.compare import QUESTION, compare

ENVIRONMENT = {
    "python": "3.11.7",
    "packages": {"torch": "2.13.0", "numpy": "2.1"},
    "variables": {"NCCL_ALGO": "Ring"},
    "hosts": ["n1", "n2"],
    "nodes": {"n1": {"gpu_driver": "570"}},
}


def made(
    folder: Path, minutes: list[float], environment: dict[str, Any] | None = None, **changes: object
) -> str:
    """Write a folder as `pitboard run` leaves it, of runs that took so long; return its path."""
    settings: dict[str, object] = {
        "preset": "smoke",
        "target": 3.65,
        "learning_rate": 0.002,
        "global_batch_size": 8,
    }
    plan: dict[str, Any] = {"benchmark": "llama31_8b", "preset": "smoke", "seeds": [7], "nproc": 1}
    plan |= {"settings": settings, "environment": ENVIRONMENT if environment is None else environment}
    for name, value in changes.items():
        if name in settings:
            settings[name] = value
        else:
            plan[name] = value
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(plan))
    for number, taken in enumerate(minutes):
        log = preset_log()
        start = next(each["time_ms"] for each in log if each["key"] == "run_start")
        for each in log:
            if each["key"] == "run_stop":
                each["time_ms"] = start + round(taken * 60_000)
        write_log(folder / f"results/box/llama31_8b/result_{number}.txt", log)
    return str(folder)


def test_runs_of_one_spread_agree_and_what_differs_is_named(tmp_path: Path) -> None:
    first = made(tmp_path / "a", [10.0, 10.4, 10.2])
    changed = ENVIRONMENT | {"packages": {"torch": "2.14.0", "numpy": "2.1"}, "variables": {}}
    second = made(tmp_path / "b", [10.3, 10.1, 10.5], changed | {"nodes": {"n1": {"gpu_driver": "575"}}})
    answer = compare(first, second)
    assert answer.facts["agree"]
    assert answer.facts["speedup"] == pytest.approx(10.2 / 10.3, rel=1e-3)
    assert answer.facts["low"] < answer.facts["speedup"] < 1 < answer.facts["high"]
    assert answer.title == "The times of A and B agree within the spread of their runs"
    assert [tuple(row.values()) for row in answer.more["differences"]] == [
        ("package", "torch", "2.13.0", "2.14.0"),
        ("variable", "NCCL_ALGO", "Ring", ""),
        ("node", "n1.gpu_driver", "570", "575"),
    ]
    assert (answer.warnings, QUESTION.exit_code(answer)) == ([], 0)
    assert [(row["runs_counted"], row["fastest"], row["slowest"]) for row in answer] == [
        (3, pytest.approx(10.0), pytest.approx(10.4)),
        (3, pytest.approx(10.1), pytest.approx(10.5)),
    ]
    for chart in ("runs", "convergence"):
        assert as_json(draw(answer, chart))


def test_times_beyond_the_spread_do_not_agree_and_other_settings_are_told(
    tmp_path: Path,
) -> None:
    first = made(tmp_path / "a", [10.0, 10.1, 10.2])
    faster = made(tmp_path / "b", [5.0, 5.1], learning_rate=0.004, nproc=2, seeds=[8])
    answer = compare(first, str(Path(faster) / "run.json"))
    assert answer.facts["agree"] is False
    assert answer.title == "B is 2.000 × as fast, beyond the spread of the runs"
    assert answer.warnings == ["The ranks differ: 1 and 2.", "The settings differ: learning_rate."]
    assert QUESTION.exit_code(answer) == 1
    assert [(row["kind"], row["name"]) for row in answer.more["differences"]] == [
        ("run", "nproc"),
        ("run", "seeds"),
        ("setting", "learning_rate"),
    ]
    # One more run of the same is judged by the spread of the others; against one alone nothing is.
    again = made(tmp_path / "c", [10.05])
    assert compare(first, again).facts["agree"]
    assert compare(first, again).more["differences"].rows == []
    assert compare(again, made(tmp_path / "d", [12.0])).facts["agree"] is None
    # Student's t by hand: two runs against two, of logarithms 0, d and 0, d.
    d = math.log(1.1)
    two = compare(made(tmp_path / "e", [10, 11]), made(tmp_path / "f", [10, 11]))
    assert math.log(two.facts["high"]) == pytest.approx(4.3027 * math.sqrt(d * d / 2), rel=1e-3)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    first = made(tmp_path / "a", [10.0])
    for text, match in (
        (made(tmp_path / "b", [10.0], benchmark="flux1"), "benchmarks are llama31_8b and flux1"),
        (made(tmp_path / "c", [10.0], target=3.0), "different targets"),
        (made(tmp_path / "d", []), "has no log of a run"),
        ("5.1/NVIDIA/theia_ngpu8_ngc25.09_nemo/llama31_8b", "is a run of your own, and 5.1/NVIDIA"),
    ):
        with pytest.raises(PitboardError, match=match):
            compare(first, text)
    (tmp_path / "c" / "run.json").write_text("{")
    with pytest.raises(PitboardError, match="cannot be read as the run"):
        compare(first, str(tmp_path / "c"))
    # What comes from an address reads no files.
    with pytest.raises(PitboardError, match="names no result"):
        QUESTION.remote(first, first)
