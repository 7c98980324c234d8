"""The measured convergence of our own presets (see `benchmarks/reference_convergence.py`)."""

import json
from importlib.resources import files

from pitboard.suite.model import ReferenceConvergencePoint


def measured(name: str) -> tuple[ReferenceConvergencePoint, ...]:
    """Return the points of `suite/reference/<name>.json`, which has the official files' format."""
    text = (files("pitboard.suite") / "reference" / f"{name}.json").read_text("utf-8")
    return tuple(
        ReferenceConvergencePoint(
            global_batch_size=point["BS"],
            precision=point["Precision"].lower(),
            hyperparameters=point["Hyperparams"],
            samples_to_target=tuple(point["Epochs to converge"]),
        )
        for point in json.loads(text).values()
    )
