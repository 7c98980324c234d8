"""Broken submissions get the official verdict; where the official checker crashes, ours names the cause."""

import json
from collections.abc import Callable
from pathlib import Path

import official_package
import pytest

import made_results
from made_logs import event, write_log
from pitboard.compliance import check_tree
from pitboard.scoring import score_tree

_RULESET = "5.1.0"

Break = Callable[[Path], object]


def _all_of(*breaks: Break) -> Break:
    def broken(folder: Path) -> None:
        for each in breaks:
            each(folder)

    return broken


def _rewrite(folder: Path, run: int, **changes: object) -> None:
    seed = changes.pop("seed", 100 + run)
    log = made_results.run_log(seed, **changes)  # type: ignore[arg-type]
    write_log(folder / f"result_{run}.txt", log)


def _describe(folder: Path, system: str = "box", **fields: object) -> None:
    made_results.describe(folder.parents[2], system, **fields)


def _unconverged(folder: Path, *runs: int) -> None:
    for run in runs:
        path = folder / f"result_{run}.txt"
        text = path.read_text().replace('"value": 3.2', '"value": 3.9')
        path.write_text(text.replace('"status": "success"', '"status": "aborted"'))


def _all(folder: Path, **changes: object) -> None:
    for run in range(10):
        _rewrite(folder, run, **changes)


def _same_seeds(folder: Path) -> None:
    _rewrite(folder, 3, seed=104)


def _two_lines_of_seeds(folder: Path) -> None:
    log = made_results.run_log(100)
    log.insert(5, event("seed", 100, lineno=2))
    write_log(folder / "result_0.txt", log)


def _seed_twice_in_one_run(folder: Path) -> None:
    log = made_results.run_log(100)
    log.insert(5, event("seed", 100))
    write_log(folder / "result_0.txt", log)


def _garbled(folder: Path) -> None:
    with (folder / "result_0.txt").open("a") as log:
        log.write(":::MLLOG {broken\n")


def _without_seeds(folder: Path) -> None:
    write_log(folder / "result_0.txt", [e for e in made_results.run_log(100) if e["key"] != "seed"])


def _emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _params(folder: Path, text: str) -> None:
    (folder / "package_checker_params").write_text(text)


_METER = [
    event("power_measurement_start", None, 0),
    event("power_reading", 5000, 1 / 60),
    event("power_measurement_stop", None, 1 / 60),
]


def _power(folder: Path, *, skip: int | None = None, last: str = "node_1.txt") -> None:
    for run in range(10):
        if run == skip:
            continue
        meters = folder / "power" / f"result_{run}"
        meters.mkdir(parents=True)
        for name in ("node_0.txt", last if run == 4 else "node_1.txt"):
            write_log(meters / name, _METER)


# Name: how a submission is broken, given its result's folder, and the rule that says so (`None`: none does).
_BROKEN: dict[str, tuple[Break, str | None]] = {
    "nothing": (Path.touch, None),
    "nine runs": (lambda folder: (folder / "result_4.txt").unlink(), "result-runs"),
    "eleven runs": (
        lambda folder: write_log(folder / "result_x.txt", made_results.run_log(9)),
        "result-runs",
    ),
    "a log under another name": (
        lambda folder: (folder / "result_4.txt").rename(folder / "run_4.txt"),
        "result-stray",
    ),
    "one unconverged run": (lambda folder: _unconverged(folder, 3), "result-dropped"),
    "two unconverged runs": (lambda folder: _unconverged(folder, 3, 4), "result-invalid-runs"),
    "one garbled log": (_garbled, "seed-unreadable"),
    "a seed reused": (_same_seeds, "seed-repeated"),
    "a seed from two lines": (_two_lines_of_seeds, "seed-several"),
    "a seed twice in one run": (_seed_twice_in_one_run, "seed-repeated"),
    "seeds that are words": (lambda folder: _rewrite(folder, 2, seed="pole"), "seed-unreadable"),
    "seeds as text": (lambda folder: _rewrite(folder, 2, seed="77"), None),
    "no seed": (_without_seeds, "seed-missing"),
    "seeds bypassed": (
        _all_of(_same_seeds, lambda folder: _params(folder, "seed-checker-bypass")),
        None,
    ),
    "a bypass that a line's end voids": (
        _all_of(_same_seeds, lambda folder: _params(folder, "seed-checker-bypass\n")),
        "seed-repeated",
    ),
    "faster than the reference": (
        lambda folder: _all(folder, samples=86016),
        "rcp-too-fast",
    ),
    "faster, but waived": (
        _all_of(
            lambda folder: _params(folder.parent, "rcp-bypass"),
            lambda folder: _all(folder, samples=86016),
        ),
        "rcp-bypassed",
    ),
    "a batch size beyond the reference": (
        lambda folder: _all(folder, global_batch_size=4096),
        "rcp-missing",
    ),
    "a batch size below the reference": (
        lambda folder: _all(folder, global_batch_size=8),
        None,
    ),
    "a batch size between": (
        lambda folder: _all(folder, samples=190000, global_batch_size=24),
        None,
    ),
    "open division": (
        _all_of(lambda folder: _describe(folder, division="open"), _same_seeds),
        "result-names",
    ),
    "an unknown benchmark beside": (
        lambda folder: write_log(folder.parent / "chess" / "result_0.txt", made_results.run_log(1)),
        "result-benchmark",
    ),
    "power results": (_power, None),
    "power of one run missing": (lambda folder: _power(folder, skip=9), "power-missing"),
    "power files misnumbered": (lambda folder: _power(folder, last="node_7.txt"), "power-names"),
    "another meter in one run": (lambda folder: _power(folder, last="sw_0.txt"), "power-meters"),
    "a field missing": (
        lambda folder: _describe(folder, cooling=None),
        "system-field-missing",
    ),
    "an unknown status": (lambda folder: _describe(folder, status="soon"), "system-status"),
    "a description without results": (
        lambda folder: _describe(folder, "other"),
        "system-unused",
    ),
}

# These end the official checker in a traceback.
_CRASHES: dict[str, tuple[Break, str]] = {
    "no description": (
        lambda folder: (folder.parents[2] / "systems" / "box.json").unlink(),
        "system-missing",
    ),
    "a damaged description": (
        lambda folder: (folder.parents[2] / "systems" / "box.json").write_text("{"),
        "system-damaged",
    ),
    "a description that is a list": (
        lambda folder: (folder.parents[2] / "systems" / "box.json").write_text("[]"),
        "system-damaged",
    ),
    "a number where text must be": (
        lambda folder: _describe(folder, accelerators_per_node=8),
        "system-field-text",
    ),
    "no division": (
        lambda folder: _describe(folder, division=None),
        "system-field-missing",
    ),
    "no results folder": (
        lambda folder: (folder.parents[2] / "results").rename(folder.parents[2] / "resluts"),
        "package-no-results",
    ),
    "batch sizes that differ": (
        lambda folder: _rewrite(folder, 3, global_batch_size=32),
        "result-settings",
    ),
    "an empty result": (
        _emptied,
        "result-runs",
    ),
}


def _rules(place: Path) -> tuple[bool, set[str]]:
    report = check_tree(place, "5.1", "submission")
    return report.valid, {finding.rule for finding in report.every_finding() if finding.rule[:4] != "log-"}


@pytest.mark.parametrize("name", _BROKEN)
def test_a_broken_submission_gets_the_official_verdict(name: str, tmp_path: Path) -> None:
    place = tmp_path / "Acme"
    folder = made_results.submit(place)
    breaking, rule = _BROKEN[name]
    breaking(folder)

    valid, rules = _rules(place)

    assert valid is official_package.package_passes(place, _RULESET)
    assert rule in rules if rule else not rules


@pytest.mark.parametrize("name", _CRASHES)
def test_where_the_official_checker_crashes_ours_names_the_cause(name: str, tmp_path: Path) -> None:
    place = tmp_path / "Acme"
    folder = made_results.submit(place)
    breaking, rule = _CRASHES[name]
    breaking(folder)

    valid, rules = _rules(place)

    assert official_package.package_passes(place, _RULESET) is None
    assert not valid
    assert rule in rules


@pytest.mark.parametrize(
    "name",
    ["nothing", "nine runs", "eleven runs", "one unconverged run", "two unconverged runs", "open division"],
)
@pytest.mark.parametrize("factor", [None, 1.25])
def test_the_score_is_the_official_one(name: str, factor: float | None, tmp_path: Path) -> None:
    place = tmp_path / "Acme"
    folder = made_results.submit(place)
    _BROKEN[name][0](folder)
    if factor:
        (folder / "scaling.json").write_text(json.dumps({"scaling_factor": factor}))

    # The summarizer believes the file.
    scores = score_tree(check_tree(place, "5.1"), published=True)

    rows = official_package.rows(place, _RULESET)
    assert rows is not None
    minutes = rows["box"].get("llama31_8b")
    if minutes is None:
        assert scores[0].minutes is None
    else:
        assert scores[0].minutes == pytest.approx(minutes, abs=1e-9)
