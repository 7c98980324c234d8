"""Throughput in training: samples to target over the minutes that a run trained, in one definition.

A run trains in all its minutes but those of evaluation; where a log does not tell these, its throughput is
not known. stable_diffusion is evaluated after its timed run, so all of its minutes are training.
"""

from pitboard.results.schema import Row

EVALUATED_AFTER_RUN = "stable_diffusion"

TIMED_RUNS = f"""select *, counted and not dropped as kept, minutes
      - case when benchmark = '{EVALUATED_AFTER_RUN}' then 0 else evaluation_minutes end as training
    from runs"""
"""SQL: the runs, with `kept` (in the olympic mean) and `training`, null where evaluation was not logged."""

MEAN_TRAINING = """case when count(training) filter (kept) = count(*) filter (kept)
      then avg(training) filter (kept) end as training"""
"""SQL over a result's `TIMED_RUNS`: the mean training minutes of the runs that its score counts."""


def per_second(samples: str, training: str) -> str:
    """Return the SQL of a throughput in samples/s; null without training time."""
    return f"case when {training} > 0 then {samples} / {training} / 60 end"


def throughput(run: Row) -> float | None:
    """Return a run's samples/s in training from its row of `runs`, `None` where it cannot be told."""
    evaluation = 0.0 if run["benchmark"] == EVALUATED_AFTER_RUN else run["evaluation_minutes"]
    if not run["samples_to_target"] or not run["minutes"] or evaluation is None:
        return None
    training = run["minutes"] - evaluation
    return float(run["samples_to_target"] / training / 60) if training > 0 else None
