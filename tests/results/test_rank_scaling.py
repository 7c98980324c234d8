"""How many ranks so many act like, and what the others are lost to, from logs as a run writes them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitboard.charts import as_json
from pitboard.charts.answers import draw
from pitboard.results.scaling import PARTS, Spent, lost, rank_scaling

TIME = st.floats(0.001, 10)
SPENT = st.builds(
    lambda ranks, samples, steps, compute, waits, evaluation, other: Spent(
        ranks=ranks,
        seconds=steps * (compute + sum(waits)) + evaluation + other,
        samples=samples,
        steps=steps,
        in_step=dict(zip(("compute", "communication", "imbalance", "data"), (compute, *waits), strict=True)),
        evaluation=evaluation,
    ),
    st.integers(1, 1024),
    st.integers(1, 10**6),
    st.integers(1, 1000),
    TIME,
    st.tuples(TIME, TIME, TIME),
    TIME,
    TIME,
)


@given(SPENT, SPENT)
def test_the_lost_ranks_add_up_to_what_ranks_do_not_act_like(few: Spent, many: Spent) -> None:
    acts_like = few.ranks * few.seconds / many.seconds
    assert sum(lost(many, few).values()) == pytest.approx(many.ranks - acts_like, rel=1e-6, abs=1e-6)
    assert lost(few, few) == pytest.approx(dict.fromkeys(lost(few, few), 0.0), abs=1e-6)


def log(
    path: Path,
    *,
    samples: int,
    step: dict[str, float],
    evaluation: float = 0.0,
    reached: bool = True,
    batch: int = 8,
    slow: list[dict[str, object]] | None = None,
    busy: Sequence[float] = (),
) -> Path:
    """The log of a run whose time is that of its steps and its one evaluation."""
    steps = samples // batch
    trained = 1000 * steps * sum(step.values())
    end = trained + 1000 * evaluation
    stats: dict[str, object] = {"throughput": samples / trained * 1000, "train_loss": 3.0, "steps": steps}
    stats |= {f"{'data_wait' if name == 'data' else name}_seconds": value for name, value in step.items()}
    if busy:
        stats["rank_compute_seconds"] = busy
        stats["rank_wait_seconds"] = [sum(step.values()) - each for each in busy]
        stats["rank_data_wait_seconds"] = [0.0] * len(busy)
    events: list[tuple[str, object, float, dict[str, object]]] = [
        ("submission_benchmark", "llama31_8b", 0, {}),
        ("global_batch_size", batch, 0, {}),
        ("run_start", None, 0, {}),
        ("tracked_stats", stats, trained, {"samples_count": samples}),
        ("eval_start", None, trained, {"samples_count": samples}),
        ("eval_accuracy", 3.2, end, {"samples_count": samples, "epoch_num": samples}),
        ("tracked_stats", {"evaluation_seconds": evaluation}, end, {"samples_count": samples}),
        ("eval_stop", None, end, {"samples_count": samples}),
        *([("pitboard_stragglers", slow, end, {})] if slow else []),
        ("run_stop", None, end, {"status": "success" if reached else "aborted", "samples_count": samples}),
    ]
    lines = [
        {"namespace": "", "time_ms": at, "event_type": "POINT_IN_TIME", "key": key}
        | {"value": value, "metadata": metadata}
        for key, value, at, metadata in events
    ]
    path.write_text("".join(f":::MLLOG {json.dumps(line)}\n" for line in lines))
    return path


def step(compute: float, communication: float, imbalance: float, data: float) -> dict[str, float]:
    return {"compute": compute, "communication": communication, "imbalance": imbalance, "data": data}


def test_four_ranks_that_act_like_two_and_where_the_others_went(tmp_path: Path) -> None:
    slow = [{"rank": 2, "host": "n3\x1b[2J", "excess": 0.4}, "no straggler", {"rank": "1"}]
    logs = {
        4: [
            log(
                tmp_path / "4",
                samples=96,
                step=step(0.3, 0.1, 0.05, 0.05),
                evaluation=1.5,
                slow=slow,  # type: ignore[arg-type]
                busy=[0.3, 0.3, 0.42, 0.3],
            )
        ],
        1: [log(tmp_path / "1", samples=80, step=step(1.0, 0.0, 0.0, 0.0), evaluation=5.0)],
    }
    answer = rank_scaling(logs, "llama31_8b", "smoke", {4: ["n1", "n1", "n3", "n3"]})
    one, four = answer.rows
    assert (one["ranks"], one["acts_like"], one["lost_compute"]) == (1, 1.0, 0.0)
    assert (four["ranks"], four["nodes"], four["runs"]) == (4, 2, 1)
    # 15 s on one rank; on four 12 steps of 0.5 s and 1.5 s of evaluation.
    assert four["minutes"] == pytest.approx(7.5 / 60)
    assert four["speedup"] == four["acts_like"] == pytest.approx(2.0)
    assert four["efficiency"] == pytest.approx(0.5)
    # Rank-seconds ÷ 7.5: two more steps of four ranks; of the ten steps, what each takes beyond one rank's.
    expected = {"convergence": 4, "compute": 2, "communication": 4, "imbalance": 2, "data": 2}
    expected |= {"evaluation": 1, "other": 0}
    assert {name: four[f"lost_{name}"] * 7.5 for name in PARTS} == pytest.approx(expected, abs=1e-9)
    assert answer.title == "llama31_8b (smoke): 4 ranks act like 2.0"
    assert [row["ranks"] for row in answer.more["lost"]] == [1, 4]
    assert [(row["ranks"], row["rank"], row["excess"]) for row in answer.more["stragglers"]] == [(4, 2, 0.4)]
    assert any("rank 2 on n3" in note and "40% longer" in note for note in answer.notes)
    assert answer.facts == {"complete": True, "acts_like": pytest.approx(2), "efficiency": pytest.approx(0.5)}
    drawn = as_json(draw(answer))
    assert "Exposed communication" in drawn
    assert "(50% of ideal)" in drawn
    assert [(row["ranks"], row["rank"], row["host"]) for row in answer.more["steps"]][2:3] == [(4, 2, "n3")]
    assert answer.more["steps"].rows[2]["compute_ms"] == pytest.approx(420)
    assert answer.more["steps"].rows[2]["wait_ms"] == pytest.approx(80)
    assert "rank 2 on n3" in drawn
    assert "4 ranks act like 2.0" in drawn


def test_runs_without_a_target_are_set_side_by_side_over_the_same_samples(tmp_path: Path) -> None:
    one = log(tmp_path / "1", samples=80, step=step(1, 0, 0, 0), reached=False)
    two = log(tmp_path / "2", samples=160, step=step(1, 0.25, 0, 0), reached=False, batch=16)
    answer = rank_scaling({1: [one], 2: [two]}, "llama31_8b", "sanity")
    row = answer.rows[1]
    assert row["acts_like"] == pytest.approx(1.6)
    assert row["lost_convergence"] == pytest.approx(0)
    assert row["lost_communication"] == pytest.approx(0.4)
    assert answer.warnings == [
        "The global batch size differs between the numbers of ranks: this is not strong scaling."
    ]
    assert answer.notes[0].startswith("No run reached a target")


def test_runs_that_miss_the_target_have_no_time_and_several_have_an_interval(tmp_path: Path) -> None:
    logs = {
        ranks: [
            log(
                tmp_path / f"{ranks}-{run}", samples=80, step=step(pace + run / 100, 0, 0, 0), reached=reached
            )
            for run in range(2)
        ]
        for ranks, pace, reached in ((1, 1.0, True), (2, 0.5, True), (4, 0.4, False))
    }
    answer = rank_scaling(logs, "llama31_8b", "smoke")
    one, two, four = answer.rows
    assert one["fastest"] < one["minutes"] < one["slowest"]
    assert two["speedup_low"] < two["speedup"] < two["speedup_high"]
    assert (four["minutes"], four["acts_like"], four["runs"]) == (None, None, 2)
    assert not answer.facts["complete"]
    assert answer.warnings == ["No time on 4 ranks: too few runs ended, or reached the target."]
    assert answer.title == "llama31_8b (smoke): 2 ranks act like 2.0"
    assert rank_scaling({1: []}, "llama31_8b", "smoke").title == "llama31_8b (smoke): no run has a time"
