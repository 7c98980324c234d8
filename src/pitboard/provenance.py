"""What decided a run beside its settings, as its `run.json` keeps it: set side by side for two runs."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Difference(NamedTuple):
    """Something that is one thing in run A and another, or nothing, in run B."""

    kind: str
    name: str
    a: object
    b: object


def differences(a: Mapping[str, Any], b: Mapping[str, Any], kind: str = "") -> list[Difference]:
    """Return in what two records differ, in their order; of records within, what differs in them."""
    found = []
    for name in dict.fromkeys([*a, *b]):
        first, second = a.get(name), b.get(name)
        if first == second:
            continue
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            found += [
                each if kind == "" else each._replace(kind=kind, name=f"{name}.{each.name}")
                for each in differences(first, second, kind or name)
            ]
        else:
            found.append(Difference(kind or "environment", name, first, second))
    return found
