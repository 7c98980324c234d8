"""The official package checker, RCP checker and summarizer, called in this process and writing nothing."""

import functools
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlperf_logging.package_checker import package_checker, seed_checker
from mlperf_logging.rcp_checker import rcp_checker
from mlperf_logging.result_summarizer import result_summarizer

Rcp = tuple[bool, str, float]


def package_passes(place: Path, ruleset: str) -> bool | None:
    """Give the official verdict on a submission, or `None` where the official checker ends in a traceback."""
    with _quiet():
        try:
            systems = package_checker.check_systems(str(place), "training", ruleset)
            results = package_checker.check_training_result_files(
                str(place), "training", ruleset, True, False, False, False, False
            )
        except Exception:
            return None
    return bool(systems and results)


def rows(
    place: Path, ruleset: str, log_is_valid: Callable[[str], bool] | None = None
) -> dict[str, dict[str, float]] | None:
    """Give the official summary of a submission, by system and benchmark, without any factor being written.

    `None` where the official summarizer ends in a traceback. `log_is_valid` stands in for the official
    verdict on a log, the slow part, which another test compares.
    """
    with _quiet(log_is_valid):
        try:
            table = result_summarizer.summarize_results(str(place), "training", ruleset)[0]
        except Exception:
            return None
    found = {}
    for row in table.to_dict(orient="records"):
        system = row["details_url"].rsplit("/", 1)[1].removesuffix(".json")
        names = package_checker.get_allowed_benchmarks("training", ruleset)
        found[system] = {name: row[name] for name in names if not isnan(row[name] or nan)}
    return found


def score(
    folder: Path, ruleset: str, log_is_valid: Callable[[str], bool] | None = None
) -> list[float | None] | None:
    """Give the official minutes and energy of one result; `None` where the summarizer ends in a traceback.

    The energy is `None` where the result has no power files; `log_is_valid` is as for `rows`.
    """
    with _quiet(log_is_valid):
        try:
            minutes, energy, _ = result_summarizer._compute_strong_score_standalone(
                folder.name,
                folder.parent.name,
                result_summarizer._has_power(str(folder)),
                str(folder),
                "training",
                ruleset,
            )
        except Exception:
            return None
    return [minutes, energy]


def rcp(folder: Path, ruleset: str, rcp_pass: str = "pruned_rcps") -> Rcp | None:
    """Give the official RCP verdict on a result, or `None` where the official checker ends in a traceback."""
    with _quiet():
        try:
            passed, verdict, scale = rcp_checker.check_directory(
                str(folder), "training", ruleset, False, False, rcp_pass=rcp_pass
            )
        except Exception:
            return None
    return bool(passed), verdict, float(scale)


def seeds_pass(folder: Path, ruleset: str) -> bool:
    """Give the official verdict on the seeds of a result."""
    with _quiet():
        logs = sorted(map(str, folder.glob("result_*.txt")))
        return bool(seed_checker.SeedChecker(ruleset).check_seeds(logs))


# What the official functions would work out again and again: an RCP checker costs scipy half a second, and
# every function reads all logs anew. The seed checker and the summarizer look at no other events than these.
_checker = functools.cache(rcp_checker.RCP_Checker)
_EVENTS = frozenset({"seed", "run_start", "run_stop"})


@functools.cache
def _parsed(file: str, ruleset: str, _changed: int) -> tuple[list[Any], list[Any]]:
    lines, errors = _parse_file(file, ruleset)
    return [line for line in lines if line.key in _EVENTS], errors


@functools.cache
def _read(file: str, ruleset: str, use_train_samples: bool, _changed: int) -> tuple[Any, ...]:
    return tuple(_read_submission_file(file, ruleset, use_train_samples))


_parse_file = result_summarizer.parse_file
_read_submission_file = rcp_checker.read_submission_file


def _parse_once(file: str, ruleset: str) -> tuple[list[Any], list[Any]]:
    if not Path(file).name.startswith("result_"):
        # A power file, of which every event counts.
        every: tuple[list[Any], list[Any]] = _parse_file(file, ruleset)
        return every
    lines, errors = _parsed(file, ruleset, Path(file).stat().st_mtime_ns)
    return list(lines), errors


def _read_once(file: str, ruleset: str, use_train_samples: bool) -> tuple[Any, ...]:
    return _read(file, ruleset, use_train_samples, Path(file).stat().st_mtime_ns)


@contextmanager
def _quiet(log_is_valid: Callable[[str], bool] | None = None) -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(rcp_checker, "RCP_Checker", _checker)
        patch.setattr(rcp_checker, "read_submission_file", _read_once)
        patch.setattr(result_summarizer, "parse_file", _parse_once)
        patch.setattr(seed_checker, "mlp_parser", SimpleNamespace(parse_file=_parse_once))
        patch.setattr(result_summarizer, "print", lambda *_: None, raising=False)
        official = rcp_checker.check_directory
        patch.setattr(
            rcp_checker, "check_directory", lambda *a, **k: official(*a, **{**k, "set_scaling": False})
        )
        if log_is_valid:
            patch.setattr(
                result_summarizer.mlp_compliance,
                "main",
                lambda file, *_: (log_is_valid(file), None, None, None),
            )
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
