"""Pitboard races AI training stacks to a target quality, checks the race, and reads the results."""

__version__ = "0.1.0"

__all__ = ["__version__", "results"]

TYPE_CHECKING = False  # type checkers take it for true; importing `typing` would take longer than all of this
if TYPE_CHECKING:
    from pitboard import results as results
else:

    def __getattr__(name):
        """Import `pitboard.results` when it is asked for."""
        if name == "results":
            from importlib import import_module

            return import_module("pitboard.results")
        raise AttributeError(f"module 'pitboard' has no attribute {name!r}")
