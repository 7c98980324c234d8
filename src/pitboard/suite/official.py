"""What the installed `mlperf-logging` says of a round: its benchmarks, how many runs count, the targets.

Nothing of `mlperf-logging` or `yaml` is imported before a question needs it.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from pitboard.errors import PitboardError
from pitboard.suite.model import OfficialBenchmark, ReferenceConvergencePoint, Round, Target

_SIGNS: dict[type[ast.cmpop], str] = {ast.LtE: "<=", ast.Lt: "<", ast.GtE: ">=", ast.Gt: ">"}
_TURNED = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}
# Bounds that any quality of its kind has; the rules put them beside a target to catch nonsense.
_TRIVIAL = (0.0, 1.0)


@cache
def package_folder() -> Path:
    """Return the folder of the installed `mlperf-logging`, without importing the package.

    Raises `PitboardError` where it is not installed.
    """
    spec = find_spec("mlperf_logging")
    if spec is None or not spec.submodule_search_locations:
        raise PitboardError(
            "The official rules come with the package mlperf-logging, which is not installed."
        )
    return Path(spec.submodule_search_locations[0])


def official_benchmarks(raced: Round) -> tuple[OfficialBenchmark, ...]:
    """Return a round's benchmarks as the installed official package has them, in its order.

    Raises `PitboardError` where the package is not installed or has no rules for the round.
    """
    folder = package_folder() / "compliance_checker" / f"training_{raced.ruleset}"
    if not folder.is_dir():
        raise PitboardError(
            f"The installed mlperf-logging has no rules for round {raced.version}: install a newer one."
        )
    from mlperf_logging.benchmark_meta import get_allowed_benchmarks, get_result_file_counts

    runs = get_result_file_counts("training")
    return tuple(
        OfficialBenchmark(id=name, targets=_targets(folder / f"closed_{name}.yaml"), runs=runs[name])
        for name in dict.fromkeys(get_allowed_benchmarks("training", raced.ruleset))
    )


def official_targets(raced: Round, benchmark: str) -> tuple[Target, ...]:
    """Return the bounds of a round's benchmark; none where the installed package has no rules for it.

    Raises `PitboardError` where the package is not installed.
    """
    path = package_folder() / "compliance_checker" / f"training_{raced.ruleset}" / f"closed_{benchmark}.yaml"
    return _targets(path) if benchmark.isidentifier() and path.is_file() else ()


def official_points(raced: Round, benchmark: str) -> tuple[ReferenceConvergencePoint, ...]:
    """Return the official reference convergence points of a round's benchmark, by batch size.

    Empty where the installed package has none. Raises `PitboardError` where it is not installed.
    """
    path = points_file(raced.benchmark(benchmark).id, raced.ruleset)
    points = decode_points(path.read_bytes()) if path.is_file() else ()
    return tuple(sorted(points, key=lambda point: point.global_batch_size))


def points_file(benchmark: str, ruleset: str) -> Path:
    """Return where the installed package has a benchmark's reference convergence points, if it has any."""
    return package_folder() / "rcp_checker" / f"training_{ruleset}" / f"rcps_{benchmark}.json"


def converged_at(point: Mapping[str, Any]) -> Any:
    """Return the samples (or epochs) to target of a reference point in MLCommons' format, one a run.

    Raises `KeyError` where it has neither.
    """
    return point["samples to converge" if "samples to converge" in point else "Epochs to converge"]


def decode_points(data: bytes) -> tuple[ReferenceConvergencePoint, ...]:
    """Return the points of a file of MLCommons' format, in its order."""
    return tuple(
        ReferenceConvergencePoint(
            global_batch_size=point["BS"],
            precision=point["Precision"].lower(),
            hyperparameters=point["Hyperparams"],
            samples_to_target=tuple(converged_at(point)),
        )
        for point in json.loads(data).values()
    )


@cache
def _targets(path: Path) -> tuple[Target, ...]:
    """Return the bounds that one evaluation must meet, from the rule that at least one line must pass."""
    import yaml

    state: dict[str, Any] = {}
    targets: dict[str, Target] = {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for record in yaml.load(path.read_text(encoding="utf-8"), Loader=loader):
        if "BEGIN" in record:
            state |= _initial_state(record["BEGIN"]["CODE"])
        check = record.get("KEY", {}).get("ATLEAST_ONE_CHECK")
        for target in _bounds(check, state) if check else ():
            # The target comes first; a second bound of the same part is there to catch nonsense.
            targets.setdefault(target.part, target)
    return tuple(targets.values())


def _initial_state(code: str) -> dict[str, Any]:
    """Return what a ruleset's code puts into its state as literals."""
    found: dict[str, Any] = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                    found[str(key.value)] = value.value
    return found


def _bounds(check: str, state: dict[str, Any]) -> Iterator[Target]:
    for node in ast.walk(ast.parse(check.strip(), mode="eval")):
        if not isinstance(node, ast.Compare):
            continue
        terms = [node.left, *node.comparators]
        for left, operator, right in zip(terms, node.ops, terms[1:], strict=False):
            sign, value, quality = _SIGNS.get(type(operator)), _number(right, state), left
            if value is None and sign:
                sign, value, quality = _TURNED[sign], _number(left, state), right
            if sign is not None and value is not None and value not in _TRIVIAL:
                comparison = cast('Literal["<=", "<", ">=", ">"]', sign)
                yield Target(comparison=comparison, value=value, part=_part(quality))


def _number(node: ast.expr, state: dict[str, Any]) -> float | None:
    """Return a number, or what the state holds under a name such as `s['target_accuracy']`."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Subscript(value=ast.Name(id="s"), slice=ast.Constant(value=name)) if name in state:
            return float(state[name])
    return None


def _part(node: ast.expr) -> str:
    """Return the part of the quality: "BBOX" of `v['value']['BBOX']`, "" of `v['value']`."""
    match node:
        case ast.Subscript(value=ast.Subscript(), slice=ast.Constant(value=name)):
            return str(name)
    return ""
