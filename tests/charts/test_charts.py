"""Every chart, from rows in the shape that `pitboard.results` yields, to the file that a reader opens."""

import json
import re
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from html.parser import HTMLParser
from math import inf, log2, nan
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from altair.utils.schemapi import validate_jsonschema
from altair.vegalite.v6.schema.core import load_schema

from pitboard import charts
from pitboard.charts.answers import charts_of, draw
from pitboard.charts.labels import LINE, Box, place, spread
from pitboard.charts.theme import in_light
from pitboard.errors import PitboardError
from pitboard.results import questions
from pitboard.results.find import default_store

# One worker, in which the converter starts and bundles its scripts once, and `drawn` is kept.
pytestmark = pytest.mark.xdist_group("charts")

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "a</script><b onload=x>&\"'\x00\x1b[31m\u202e]]>"
Rows = list[dict[str, Any]]

FAMILIES: dict[str, list[tuple[int, float]]] = {
    "Alpha, Red B200, NeMo 25.09": [(8, 81.2), (16, 43.5), (64, 13.9), (256, 5.1)],
    "Beta, Red B200": [(8, 79.4), (16, 44.8)],
    "Gamma, Blue MI355X": [(8, 99.7), (64, 16.8)],
    "Delta, Red GB300": [(512, 3.2)],
}
CURVES: Rows = [
    {"result": name, "run": run, "samples": 12288 * step, "quality": 4.2 - 0.2 * step + 0.02 * run}
    for name in FAMILIES
    for run in range(3)
    for step in range(1, 6)
]
RUNS: Rows = [
    {
        "result": name,
        "minutes": points[0][1] * (1 + run / 40),
        "dropped": run in {0, 9},
        "score": points[0][1],
    }
    for name, points in FAMILIES.items()
    for run in range(10)
]
SCALE: Rows = [
    {
        "family": name,
        "accelerators": count,
        "minutes": minutes,
        "minutes_low": minutes * 0.97,
        "minutes_high": minutes * 1.04,
        "single": len(points) == 1,
    }
    for name, points in FAMILIES.items()
    for count, minutes in points
]
EFFICIENCY: Rows = [
    {
        "family": name,
        "accelerators": count,
        "efficiency": points[0][0] * points[0][1] / count / minutes,
        "single": len(points) == 1,
    }
    for name, points in FAMILIES.items()
    for count, minutes in points
]
ROUNDS: Rows = [
    {
        "label": name,
        "round": number,
        "minutes": points[0][1] * factor,
        "accelerators": points[0][0],
        "like_for_like": name != "Gamma, Blue MI355X",
    }
    for number, factor in (("5.0", 1.2), ("5.1", 1.0))
    for name, points in FAMILIES.items()
]
SAMPLES: Rows = [
    {"result": name, "global_batch_size": 32 * 2**i, "samples_to_target": 150000 + 9000 * i, "precision": p}
    for i, (name, p) in enumerate(zip(FAMILIES, ("fp8", "fp4", None, "fp8"), strict=True))
]
REFERENCE: Rows = [
    {"global_batch_size": size, "samples": 155000 + 60 * size, "low": 150000 + 60 * size}
    for size in (32, 64, 128)
]
RANKED: Rows = [
    {
        "label": name,
        "value": points[0][1],
        "low": points[0][1] * 0.97,
        "high": points[0][1] * 1.04,
        "group": f"{points[0][0]} accelerators",
        "unlike": "runs of v5.0 again" if "Gamma" in name else "",
    }
    for name, points in FAMILIES.items()
]
FACTORS: Rows = [
    {"part": "Accelerators, 64 to 512", "factor": 6.1, "low": 5.6, "high": 6.7},
    {"part": "Samples to target", "factor": 0.91},
    {"part": "Software and configuration", "factor": 1.2, "known": False},
]
PAIRS: Rows = [
    {"sender": a, "receiver": b, "bandwidth": 24.0 if "Delta" in b else 47.5}
    for a in FAMILIES
    for b in FAMILIES
    if a != b
]
LOST: Rows = [
    {"ranks": name, "part": part, "value": value}
    for name in FAMILIES
    for part, value in (("Acts like", 5.2), ("Compute", 1.1), ("Load imbalance", 1.8), ("Data", -0.1))
]
SPEEDUPS: Rows = [
    {"ranks": 2, "speedup": 1.0, "efficiency": 1.0},
    {"ranks": 6, "speedup": 2.1, "speedup_low": 1.9, "speedup_high": 2.4, "efficiency": 0.7},
]
STEPS: Rows = [
    {"ranks": name, "name": f"rank {rank} on n1", "busy_ms": 60 + rank, "step_ms": 81.0, "behind": rank > 1}
    for name in FAMILIES
    for rank in range(3)
]
SWEEP: Rows = [
    {"precision": name, "samples": samples, "mean": 1450.0, "word": "2 of 3 reached the target"}
    for name in FAMILIES
    for samples in (1200, 1700, None)
]
PARTS: Rows = [
    {"result": name, "part": part, "value": value, "slowest": 42.0}
    for name in FAMILIES
    for part, value in (("Compute", 40.0), ("Exposed communication", 9.5), ("Data", 0.0))
]
TREND: Rows = [
    {"series": name, "years": log2(count) - 3, "speedup": points[0][1] / minutes}
    for name, points in FAMILIES.items()
    for count, minutes in points
]

Maker = Callable[..., Any]
MADE: dict[str, tuple[Maker, Rows, str, dict[str, Any]]] = {
    "scale": (charts.scale, SCALE, "family", {"fitted": SCALE[:3]}),
    "efficiency": (charts.efficiency, EFFICIENCY, "family", {}),
    "runs": (charts.runs, RUNS, "result", {}),
    "convergence": (charts.convergence, CURVES, "result", {"target": 3.3, "quality": "eval loss"}),
    "samples": (
        charts.samples_to_target,
        SAMPLES,
        "result",
        {"reference": REFERENCE},
    ),
    "rounds": (charts.rounds, ROUNDS, "label", {}),
    "bars": (charts.bars, RANKED, "label", {}),
    "attribution": (charts.attribution, FACTORS, "part", {}),
    "pairs": (charts.pair_bandwidth, PAIRS, "sender", {}),
    "trend": (charts.trend, TREND, "series", {}),
    "ranks": (charts.ranks, LOST, "ranks", {"speedups": SPEEDUPS, "steps": STEPS}),
    "steps": (charts.step_parts, PARTS, "result", {}),
    "sweep": (charts.precision_sweep, SWEEP, "precision", {"reference": [1300, 1600]}),
}
each = pytest.mark.parametrize("kind", MADE)


def made(kind: str, theme: str = "light", **changes: Any) -> Any:
    maker, rows, _, options = MADE[kind]
    words: dict[str, Any] = {"title": "What it says", "caption": "Where it is from", "theme": theme}
    rows = changes.pop("rows", rows)
    if kind == "samples":  # the others name all that they draw without being asked to
        words["highlight"] = [row["result"] for row in rows if "result" in row]
    return maker(rows, **words, **options, **changes)


vega_lite = cache(load_schema)


@cache
def drawn(kind: str, theme: str = "light", width: int = 720) -> str:
    return charts.svg(made(kind, theme, width=width))


@each
def test_a_chart_in_dark_recoloured_is_the_chart_in_light(kind: str) -> None:
    def numbered_alike(svg: str) -> str:
        return re.sub(r"\bclip\d+", "clip", svg)  # Vega goes on counting from chart to chart

    assert numbered_alike(in_light(drawn(kind, "dark"))) == numbered_alike(drawn(kind, "light"))
    assert drawn(kind, "dark") != drawn(kind, "light")


def words(svg: str) -> str:
    """All that is written in a picture, each text on a line."""
    return "\n".join("".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{SVG}text"))


def inert(svg: str) -> None:
    """Assert that a picture runs nothing and asks for no other file."""
    for element in ElementTree.fromstring(svg).iter():
        assert element.tag not in {f"{SVG}script", f"{SVG}foreignObject", f"{SVG}image", f"{SVG}style"}
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name != "style", "a strict policy on styles would drop it"
            assert not name.endswith("href") or value.startswith("#"), f"{name}={value}"
            assert "url(" not in value or value.startswith("url(#")


@each
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_svg_says_title_caption_and_labels_in_the_theme_and_nothing_else_runs(kind: str, theme: str) -> None:
    svg = drawn(kind, theme)
    inert(svg)
    said = words(svg)
    assert "What it says" in said
    assert "Where it is from" in said
    _, rows, label, _ = MADE[kind]
    shown = {row[label] for row in rows if not (kind == "efficiency" and row["single"])}
    assert [name for name in shown if name not in said] == []
    assert {"light": "#ffffff", "dark": "#14171a"}[theme] in svg


@each
def test_a_chart_is_what_the_schema_of_vega_lite_allows(kind: str) -> None:
    for width in (400, 720):
        validate_jsonschema(json.loads(charts.as_json(made(kind, width=width))), vega_lite())


def test_what_is_drawn_of_an_answer_is_what_the_schema_allows() -> None:
    for name, values in (("findings", {}), ("formats", {"benchmark": "llama31_8b"})):
        answer = questions.question(name).ask(**values, store=default_store())
        for chart in charts_of(answer):
            for width in (400, 720):
                specification = charts.as_json(draw(answer, chart.name, width=width))
                validate_jsonschema(json.loads(specification), vega_lite())


@each
@pytest.mark.parametrize("width", [400, 720, 1100])
def test_a_picture_is_no_wider_than_asked(kind: str, width: int) -> None:
    drawn_width = ElementTree.fromstring(drawn(kind, width=width)).get("width", "")
    assert width * 0.8 < float(drawn_width) <= width


@each
def test_what_a_page_shows_is_as_wide_as_asked_and_otherwise_the_same(kind: str) -> None:
    chart = made(kind, width=400)
    plain, wide = (ElementTree.fromstring(charts.svg(chart, width)) for width in (0, 400))
    assert (wide.get("width"), (wide.get("viewBox") or "").split()[2]) == ("400", "400")
    assert wide.get("height") == plain.get("height")
    assert [each.tag for each in wide.iter()] == [each.tag for each in plain.iter()]
    assert charts.svg(chart, 100) == charts.svg(chart)


@each
def test_saved_files_are_what_their_suffix_says(kind: str, tmp_path: Path) -> None:
    for theme in ("light", "dark"):
        charts.save(made(kind, theme), tmp_path / f"{theme}.png")
        assert (tmp_path / f"{theme}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert (tmp_path / "light.png").read_bytes() != (tmp_path / "dark.png").read_bytes()
    charts.save(made(kind), tmp_path / "chart.SVG")
    assert ElementTree.parse(tmp_path / "chart.SVG").getroot().tag == f"{SVG}svg"


class _Page(HTMLParser):
    """Elements of a page as a browser's parser sees them, and the text of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and data.strip():
            self.scripts[-1] += data


def page_of(chart: Any, path: Path) -> _Page:
    charts.save(chart, path)
    page = _Page()
    page.feed(path.read_text())
    return page


@each
def test_html_is_one_file_with_a_policy_that_lets_it_ask_for_nothing(kind: str, tmp_path: Path) -> None:
    for theme in ("light", "dark"):
        page = page_of(made(kind, theme), tmp_path / "chart.html")
        assert [tag for tag, at in page.elements if {"src", "href"} & set(at)] == []
        policy = next(str(at["content"]) for tag, at in page.elements if at.get("http-equiv"))
        assert policy.startswith("default-src 'none';")
        digest = b64encode(sha256(page.scripts[1].encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}' 'unsafe-eval';" in policy
        specification = json.loads(page.scripts[0])
        assert specification["vconcat"][0]["title"]["text"] == ["What it says"]
        assert specification["config"]["background"] == {"light": "#ffffff", "dark": "#14171a"}[theme]


@each
def test_a_hostile_label_stays_a_label(kind: str, tmp_path: Path) -> None:
    _, rows, label, _ = MADE[kind]
    first = rows[0][label]
    hostile = [row | {label: HOSTILE if row[label] == first else row[label]} for row in rows]
    chart = made(kind, rows=hostile, subtitle=HOSTILE)
    svg = charts.svg(chart)
    inert(svg)
    assert "a</script><b onload=x>&\"'" in words(svg)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", svg)


def test_a_hostile_label_cannot_end_the_script_of_a_page(tmp_path: Path) -> None:
    named = (made("runs", rows=[{"result": name, "minutes": 1}]) for name in ("a", HOSTILE))
    plain, hostile = (page_of(chart, tmp_path / "chart.html") for chart in named)
    assert [tag for tag, _ in plain.elements] == [tag for tag, _ in hostile.elements]
    assert "</script><b onload=x>" in json.dumps(json.loads(hostile.scripts[0]))


@pytest.mark.parametrize("value", [nan, inf, 0, -1.5, None, "7", True])
@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("scale", "minutes"),
        ("scale", "accelerators"),
        ("efficiency", "efficiency"),
        ("runs", "minutes"),
        ("rounds", "minutes"),
        ("bars", "value"),
        ("samples", "global_batch_size"),
        ("attribution", "factor"),
        ("pairs", "bandwidth"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(kind: str, key: str, value: object) -> None:
    rows = [MADE[kind][1][0] | {key: value}, *MADE[kind][1][1:]]
    with pytest.raises(PitboardError, match=rf"^A chart's row needs a number.* '{key}', not .*\.$"):
        made(kind, rows=rows)


@each
def test_no_rows_and_a_row_without_a_label_are_sentences(kind: str) -> None:
    _, rows, label, _ = MADE[kind]
    with pytest.raises(PitboardError, match=r"^There is nothing to draw: .*\.$"):
        made(kind, rows=[])
    with pytest.raises(PitboardError, match=rf"needs a label in '{label}'"):
        made(kind, rows=[{k: v for k, v in row.items() if k != label} for row in rows])
    with pytest.raises(PitboardError, match="Did you mean 'dark'"):
        made(kind, "drak")


def test_a_reach_of_quality_may_be_zero_or_negative_but_not_endless() -> None:
    row = {"result": "a", "run": 0, "samples": 0}
    charts.svg(made("convergence", rows=[row | {"quality": -1.0}]))
    with pytest.raises(PitboardError, match="needs a number in 'quality', not nan"):
        made("convergence", rows=[row | {"quality": nan}])


def test_a_family_of_one_point_is_drawn_hollow_and_named() -> None:
    rows = [row for row in SCALE if row["single"]]
    svg = charts.svg(charts.scale(rows, title="One"))
    assert "Delta, Red GB300" in words(svg)
    marks = [
        e
        for e in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if "point" in e.get("aria-roledescription", "")
    ]
    assert [mark.get("fill") for mark in marks] == ["#ffffff"]
    with pytest.raises(PitboardError, match="two accelerator counts"):
        charts.efficiency([EFFICIENCY[-1]], title="One")


def test_two_rounds_need_one_row_for_each_label_and_round() -> None:
    with pytest.raises(PitboardError, match=r"twice in round 5\.0"):
        made("rounds", rows=[*ROUNDS, ROUNDS[0]])
    with pytest.raises(PitboardError, match="needs rows of two, not of 1"):
        made("rounds", rows=[row for row in ROUNDS if row["round"] == "5.0"])


def test_rounds_of_which_none_is_like_for_like_are_drawn() -> None:
    unlike = [row | {"like_for_like": False, "unlike": "other accelerator"} for row in ROUNDS]
    assert "other accelerator" in words(charts.svg(made("rounds", rows=unlike)))


def test_rounds_are_in_order_of_their_numbers() -> None:
    late = [row | {"round": {"5.0": "9.0", "5.1": "10.0"}[row["round"]]} for row in ROUNDS]
    said = words(charts.svg(made("rounds", rows=late)))
    assert said.index("Round 9.0") < said.index("Round 10.0")


def test_saving_is_whole_or_not_at_all(tmp_path: Path) -> None:
    chart = made("runs")
    with pytest.raises(PitboardError, match=r"must end in \.png, \.svg or \.html"):
        charts.save(chart, tmp_path / "chart.gif")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(PitboardError, match="Cannot write"):
        charts.save(chart, tmp_path / "file" / "chart.svg")
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(PitboardError, match="Cannot write"):
        charts.save(chart, tmp_path / "taken.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.svg"]


def test_labels_lie_on_nothing_and_move_no_further_than_they_must() -> None:
    wanted = [Box(50, 100 + i, 80, LINE) for i in range(5)]
    placed = [box._replace(y=y) for box, y in zip(wanted, place(wanted, [], [], 300), strict=True)]
    assert not any(a.meets(b) for i, a in enumerate(placed) for b in placed[:i])
    assert spread([10.0, 50.0, 90.0], 100) == [10.0, 50.0, 90.0]
    assert spread([50.0, 50.0], 100) == [50 - LINE / 2, 50 + LINE / 2]
    assert spread([99.0, 98.0], 100) == [100.0, 100 - LINE]
