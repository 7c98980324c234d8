"""Short forms in which the rounds write their hyperparameter tables."""

from typing import Literal

from pitboard.suite.model import Hyperparameter, Scalar

Source = Literal["ruleset", "rules"]


def free(*names: str, source: Source = "ruleset") -> tuple[Hyperparameter, ...]:
    """Hyperparameters that must be logged and may have any value."""
    return tuple(Hyperparameter(name=name, kind="free", source=source) for name in names)


def fixed(source: Source = "ruleset", **values: Scalar) -> tuple[Hyperparameter, ...]:
    """Hyperparameters that must have exactly these values."""
    return tuple(
        Hyperparameter(name=name, kind="fixed", value=value, source=source) for name, value in values.items()
    )


def computed(source: Source = "ruleset", **formulas: str) -> tuple[Hyperparameter, ...]:
    """Hyperparameters that follow from others: each a Python expression over their names and `ceil`."""
    return tuple(
        Hyperparameter(name=name, kind="computed", formula=formula, source=source)
        for name, formula in formulas.items()
    )
