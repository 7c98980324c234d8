"""Plans that repeat recorded runs, or say why they cannot."""

from pathlib import Path
from typing import Any

import pytest

from pitboard.errors import PitboardError
from pitboard.launch.plan import RunRequest, make_plan
from pitboard.training.output import Output


def like(path: Path, **options: Any) -> Any:
    return make_plan(RunRequest(like=path, **options))


def test_a_repeated_series_has_its_seeds_and_the_precision_that_was_decided(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"runs": 2, "seed": 7, "checkpoint_every": 64, "nproc": 2, "submitter": "Us"}
    old = make_plan(RunRequest(benchmark="llama31_8b", overrides={"precision": "fp32"}, **asked))
    old.overrides, old.decisions = {}, {"precision": "BF16 products are 80 × slower on this CPU"}
    Output(tmp_path).start(old)
    again = like(tmp_path)
    assert (again.seeds, again.nproc, again.submitter, again.checkpoint_interval) == ([7, 8], 2, "Us", 64)
    assert again.settings["precision"] == "fp32"
    assert again.decisions == {
        "precision": "as in the repeated run (BF16 products are 80 × slower on this CPU)"
    }
    assert like(tmp_path, runs=3).seeds == [7, 8, 9]
    assert like(tmp_path, runs=1).seeds == [7]
    assert like(tmp_path, seed=3).seeds == [3, 4]
    other = like(tmp_path, overrides={"precision": "bf16"})
    assert (other.settings["precision"], other.decisions) == ("bf16", {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"benchmark": "flux1"}, "repeats the benchmark llama31_8b: leave out flux1"),
        ({"preset": "full"}, "repeats the preset smoke: leave out full"),
        ({"path": "nowhere"}, "no readable run.json"),
        ({"settings": {"momentum": 1}}, "'momentum', which Pitboard .* does not know: use Pitboard 9.9"),
        ({"system": "\x1b[2J"}, "damaged"),
        ({"seeds": []}, "damaged"),
    ],
)
def test_a_plan_that_cannot_be_repeated_is_explained(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    plan = make_plan(RunRequest(benchmark="llama31_8b", seed=7))
    plan.version = "9.9"
    for name in ("settings", "system", "seeds"):
        if name in options:
            setattr(plan, name, options.pop(name))
    Output(tmp_path).start(plan)
    with pytest.raises(PitboardError, match=message):
        like(tmp_path / options.pop("path", ""), **options)
