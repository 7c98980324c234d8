"""Energy to target: a run's mean power times its time-to-train, averaged over the runs that the score counts.

As the official summarizer does it: the runs are put in the order of their times, not of their energies, and
the same ones are left out at either end.
"""

from collections.abc import Sequence


def run_energies(minutes: Sequence[float | None], watts: Sequence[float | None]) -> list[float | None]:
    """Return each run's energy in joules; `None` where it does not count or its power cannot be told.

    Empty where there is no power at all.
    """
    return [
        None if time is None or power is None else power * time * 60
        for time, power in zip(minutes, watts, strict=bool(watts))
    ]


def energy(minutes: Sequence[float | None], joules: Sequence[float | None], drops: int) -> float | None:
    """Return the mean of the runs' energies without the `drops` fastest and the `drops` slowest runs.

    A run that does not count is slower than any other. `None` where the times have no such mean, or a run
    that counts has no energy: the official summarizer then ends in a traceback.
    """
    if not joules or minutes.count(None) > drops or len(minutes) <= 2 * drops:
        return None
    counted = [(time, joules[n]) for n, time in enumerate(minutes) if time is not None]
    if any(each is None for _, each in counted):
        return None
    ordered = [each for _, each in sorted(counted, key=lambda run: run[0]) if each is not None]
    kept = ordered[drops : len(minutes) - drops]
    return sum(kept) / len(kept)
