"""Published results between two, so that a change in throughput can be taken apart one thing at a time.

Where A and B differ in accelerator and in software, a result with A's accelerator and B's software says how
much is of which: such a result is a bridge. A step between two results changes one of `CHANGES`, or several
where the store has no bridge.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise, product

import msgspec

from pitboard.results.find import reference
from pitboard.results.organisations import one_name
from pitboard.results.schema import Row

CHANGES = ("accelerators", "accelerator", "software")
"""What a step may change: the count, the kind of accelerator, the software. The order is that of reports."""

# When NVIDIA brought out its CUDA toolkits, as its archive of them has it. A monthly release may hold the
# toolkit of the month that follows.
_CUDA = {
    (11, 0): "20.07",
    (11, 2): "20.12",
    (11, 4): "21.06",
    (11, 6): "22.01",
    (11, 8): "22.10",
    (12, 0): "22.12",
    (12, 1): "23.02",
    (12, 2): "23.06",
    (12, 3): "23.10",
    (12, 4): "24.03",
    (12, 5): "24.05",
    (12, 6): "24.08",
    (12, 8): "25.01",
    (12, 9): "25.05",
    (13, 0): "25.08",
}
_MOST = 12  # bridges looked at for one place on a path, the likest first
_RELEASE = re.compile(r"(?<![\d.])\d{2}\.\d{2}(?![\d.])")


class Step(msgspec.Struct, frozen=True):
    """From one result to another, between which only `changes` differ among `CHANGES`."""

    before: Row
    after: Row
    changes: tuple[str, ...]


def software(row: Row) -> str:
    """Name a result's software: NVIDIA's monthly release where its description has just one, else its text.

    Descriptions name one container in many ways ("PyTorch NVIDIA Release 25.09", "NVIDIA NeMo Framework
    Release 25.09"), and the release is what they share; a submitter's own code is not told by it.
    """
    if said := implausible(row):
        return f"cannot be told ({said})"
    release = _release(row)
    return f"NVIDIA release {release}" if release else str(row["framework"] or "not stated")


def _release(row: Row) -> str | None:
    text = row["framework"] or ""
    releases = set(_RELEASE.findall(text))
    return releases.pop() if len(releases) == 1 and re.search("nvidia|ngc", text, re.IGNORECASE) else None


def implausible(row: Row) -> str:
    """Say which versions of a result's software cannot be true together; "" where nothing speaks against it.

    An NVIDIA release of a month holds no CUDA that came out later. `row` may have the `cuda` that its
    system's description states.
    """
    release, cuda = _release(row), row.get("cuda")
    number = re.match(r"(\d+)\.(\d+)", str(cuda or ""))
    if release is None or number is None:
        return ""
    stated = (int(number[1]), int(number[2]))
    out = max((month for version, month in _CUDA.items() if version <= stated), default="00.00")
    return f"release {release} beside CUDA {cuda}, of {out}" if _months(out) > _months(release) + 1 else ""


def _months(release: str) -> int:
    year, month = release.split(".")
    return 12 * int(year) + int(month)


def path(a: Row, b: Row, pool: Iterable[Row]) -> list[Step]:
    """Give the steps from A to B over bridges in `pool`, each changing as little as the pool allows.

    Of paths equally fine, that with the fewest changes of submitter, then of batch size, then of stated
    precision. A step that changes only the count stays with one submitter: a family's own scaling.
    """
    first, last = _place(a), _place(b)
    differ = tuple(name for name, x, y in zip(CHANGES, first, last, strict=True) if x != y)
    if not differ:
        return [Step(a, b, ())]
    places: dict[tuple[object, ...], list[Row]] = {}
    for row in sorted(pool, key=lambda row: (_strangeness(row, a, b), reference(row))):
        found = places.setdefault(_place(row), [])
        if len(found) < _MOST:
            found.append(row)
    return min(
        (steps for order in _orders(differ) for steps in _walks(a, b, order, places)),
        key=lambda steps: (-len(steps), _cost(steps)),
    )


def _place(row: Row) -> tuple[object, ...]:
    return row["accelerators"], row["accelerator"], software(row)


def _strangeness(row: Row, a: Row, b: Row) -> int:
    ends = {one_name(end["organisation"]) for end in (a, b)}
    batches = {end["global_batch_size"] for end in (a, b)}
    return 2 * (one_name(row["organisation"]) not in ends) + (row["global_batch_size"] not in batches)


def _orders(changes: tuple[str, ...]) -> Iterator[list[tuple[str, ...]]]:
    """Every way to make the changes one group after another: ((x, y),), ((x,), (y,)), ((y,), (x,))."""
    if not changes:
        yield []
    for size in range(1, len(changes) + 1):
        for group in combinations(changes, size):
            rest = tuple(change for change in changes if change not in group)
            yield from ([group, *others] for others in _orders(rest))


def _walks(
    a: Row, b: Row, order: list[tuple[str, ...]], places: dict[tuple[object, ...], list[Row]]
) -> Iterator[list[Step]]:
    here, stops = list(_place(a)), []
    for group in order[:-1]:
        for name in group:
            here[CHANGES.index(name)] = _place(b)[CHANGES.index(name)]
        stops.append(places.get(tuple(here), []))
    for rows in product(*stops):
        ends = pairwise([a, *rows, b])
        steps = [Step(x, y, group) for (x, y), group in zip(ends, order, strict=True)]
        if all(step.changes != ("accelerators",) or _one_family(step) for step in steps) or len(order) == 1:
            yield steps


def _one_family(step: Step) -> bool:
    return one_name(step.before["organisation"]) == one_name(step.after["organisation"])


def _cost(steps: list[Step]) -> tuple[int, int, int, list[str]]:
    pairs = [(step.before, step.after) for step in steps]
    stated = [(x["precision"], y["precision"]) for x, y in pairs if x["precision"] and y["precision"]]
    return (
        sum(not _one_family(step) for step in steps),
        sum(x["global_batch_size"] != y["global_batch_size"] for x, y in pairs),
        sum(x != y for x, y in stated),
        [reference(y) for _, y in pairs],
    )
