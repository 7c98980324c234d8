"""Draw docs/llama31_405b.svg: the smoke preset of `llama31_405b`, and broken variants that miss its target.

python tools/continued_picture.py      trains each for 512 samples in FP32, some 15 s apiece on two cores
"""

import tempfile
from pathlib import Path
from unittest.mock import patch

from pitboard import charts, suite
from pitboard.charts.frame import finish
from pitboard.charts.theme import DASHES, find_theme
from pitboard.charts.vega import Spec, field, layer, layered
from pitboard.training.benchmarks.llama31_405b.benchmark import Llama405B
from pitboard.training.output import Output, Plan, read_run
from pitboard.training.reporting import Silent
from pitboard.training.runner import execute

PICTURE = Path(__file__).parents[1] / "docs" / "llama31_405b.svg"
# Evaluated more often than the preset, and past its target.
SETTINGS = {
    "precision": "fp32",
    "target": "0.1",
    "evaluation_interval": "64",
    "evaluations_skipped": "0",
    "evaluations_skipped_per_batch_sample": "0",
}


def main() -> None:
    both = Llama405B._prefixes
    one_shard = patch.object(Llama405B, "_prefixes", lambda self: (both(self)[0][:1], both(self)[1]))
    no_base = patch.object(Llama405B, "is_pretrained", lambda _self, _name: False)
    rows = curve("as it is")
    with one_shard:
        rows += curve("one shard left out")
    with no_base:
        rows += curve("from random weights")
    charts.save(chart(rows), PICTURE)


def curve(name: str) -> list[dict[str, object]]:
    plan = Plan(
        benchmark="llama31_405b", preset="smoke", overrides=SETTINGS, seeds=[1], system="s", submitter="T"
    )
    with tempfile.TemporaryDirectory() as folder:
        output = Output(Path(folder))
        execute(output, plan, 0, Silent())
        evaluations = read_run(output.log(plan, 0)).evaluations
    print(name, *(f"{each.samples:.0f}: {each.quality:.3f}" for each in evaluations if each.samples))
    return [{"run": name, "samples": each.samples, "loss": each.quality} for each in evaluations]


def chart(rows: list[dict[str, object]]) -> Spec:
    look = find_theme("light")
    target = suite.benchmark("llama31_405b").preset("smoke").values["target"]
    names = list(dict.fromkeys(str(row["run"]) for row in rows))
    colours = {"domain": names, "range": list(look.palette[: len(names)])}
    dashes = {"domain": names, "range": [list(dash) for dash in DASHES[: len(names)]]}
    lines = {
        "x": field("samples:Q", title="Training sequences", axis={"values": [0, 128, 256, 384, 512]}),
        "y": field("loss:Q", title="Validation loss, nats a token", scale={"zero": False}),
        "color": field("run:N", title=None, sort=names, scale=colours),
        "strokeDash": field("run:N", title=None, sort=names, scale=dashes),
    }
    goal = [{"loss": target, "word": f"target {target}"}]
    word = {"x": {"value": 0}, "y": field("loss:Q"), "text": field("word:N")}
    layers = [
        layer("rule", goal, {"y": field("loss:Q")}, color=look.muted),
        layer("text", goal, word, align="left", dx=4, dy=10, color=look.muted),
        layer("line", rows, lines, point=True),
    ]
    return finish(
        layered(layers, 520, 260),
        title="Only what starts from the base and reads both shards reaches the target",
        subtitle="Preset smoke of llama31_405b, seed 1, FP32; the base itself stands at 7.2.",
        caption="Measured by tools/continued_picture.py.",
        theme=look,
        width=720,
    )


if __name__ == "__main__":
    main()
