"""Pitboard races AI training stacks to a target quality, checks the race, and reads the results."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `pitboard.results` when it is asked for."""
    if name == "results":
        from importlib import import_module

        return import_module("pitboard.results")
    raise AttributeError(f"module 'pitboard' has no attribute {name!r}")
