"""One grammar on every chart: what a colour, a shape and a dash mean, and what never looks like progress."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from pitboard import charts
from pitboard.charts import families
from pitboard.charts.answers import charts_of, draw, to_highlight
from pitboard.charts.axes import Span, log_ticks
from pitboard.charts.theme import THEMES, Theme
from pitboard.errors import PitboardError
from pitboard.results import questions
from pitboard.results.answer import Answer
from pitboard.results.find import default_store

Rows = list[dict[str, Any]]

ENTRIES: list[tuple[str, str, list[tuple[int, float]]]] = [
    ("Dell", "NVIDIA B200", [(8, 81.2), (16, 43.5), (64, 13.9)]),
    ("Oracle", "NVIDIA B200", [(8, 79.4), (16, 44.8)]),
    ("NVIDIA", "NVIDIA GB300", [(8, 67.4), (512, 5.2)]),
    ("Nebius", "NVIDIA GB300", [(8, 75.8)]),
    ("AMD", "AMD MI355X", [(8, 99.7), (64, 16.8)]),
]
SCALE: Rows = [
    {
        "family": f"{submitter}, {accelerator}",
        "name": submitter,
        "accelerator": accelerator,
        "accelerators": count,
        "minutes": minutes,
        "efficiency": 1.0,
        "single": len(points) == 1,
    }
    for submitter, accelerator, points in ENTRIES
    for count, minutes in points
]
RANKED: Rows = [
    {"label": row["family"], "accelerator": row["accelerator"], "value": row["minutes"], "group": "all"}
    for row in SCALE
]
ROUNDS: Rows = [
    {
        "label": f"{submitter}, 8 × {accelerator}",
        "accelerator": accelerator,
        "round": round,
        "minutes": points[0][1] * factor,
        "like_for_like": True,
    }
    for submitter, accelerator, points in ENTRIES
    for round, factor in (("v5.0", 1.1), ("v5.1", 1.0))
]


def layers(chart: Any) -> list[dict[str, Any]]:
    """The layers of a chart."""
    found: list[dict[str, Any]] = chart["vconcat"][0]["layer"]
    return found


def rows_of(layer: dict[str, Any]) -> Rows:
    found: Rows = layer["data"]["values"]
    return found


def subtitle(chart: Any) -> str:
    return " ".join(chart["vconcat"][0]["title"]["subtitle"])


def scales(chart: Any, channel: str) -> dict[str, Any]:
    """What each value of a channel is drawn as; every layer must say the same."""
    found: dict[str, Any] = {}
    for layer in layers(chart):
        scale = layer.get("encoding", {}).get(channel, {}).get("scale") or {}
        for name, drawn in zip(scale.get("domain", []), scale.get("range", []), strict=True):
            assert found.setdefault(name, drawn) == drawn
    return found


def marks(chart: Any, kind: str) -> Iterator[dict[str, Any]]:
    return (layer for layer in layers(chart) if layer["mark"]["type"] == kind)


def test_an_accelerator_has_one_colour_and_shape_on_every_chart_in_whatever_order() -> None:
    drawn = [
        charts.scale(SCALE, title="t"),
        charts.efficiency(SCALE[::-1], title="t"),
        charts.bars(RANKED[3:], title="t"),
        charts.rounds(ROUNDS[::-1], title="t", width=400),
    ]
    for channel in ("color", "shape"):
        first, *others = [scales(chart, channel) for chart in drawn]
        assert {"NVIDIA B200", "NVIDIA GB300", "AMD MI355X"} <= set(first)
        for other in others:
            assert {name: first[name] for name in other} == other
    dashes = [scales(chart, "strokeDash") for chart in drawn[:2]]
    assert dashes[0] == dashes[1]
    assert dashes[0]["Dell, NVIDIA B200"] != dashes[0]["Oracle, NVIDIA B200"]


def test_every_published_accelerator_has_a_style_of_its_own() -> None:
    sql = "select distinct accelerator as name from results where not own and accelerator is not null"
    published = {row["name"] for row in default_store().rows(sql)} - {"N/A"}
    styles = families._ACCELERATORS
    assert published - set(styles) == set()
    assert len(set(styles.values())) == len(styles)
    benchmarks = {row["benchmark"] for row in default_store().rows("select distinct benchmark from results")}
    assert benchmarks - set(families._BENCHMARKS) == set()
    assert len(set(map(families.of_benchmark, families._BENCHMARKS))) == len(families._BENCHMARKS)


def test_accelerators_that_are_lines_on_one_chart_have_colours_of_their_own() -> None:
    sql = """
        select round, benchmark, list(distinct accelerator) as names from (
            select round, benchmark, accelerator from results
            where not own and minutes is not null and accelerator is not null
            group by round, benchmark, submitter, accelerator having count(distinct accelerators) > 1
        ) group by all
    """
    for drawn in default_store().rows(sql):
        styles = [families.of_accelerator(name) for name in set(drawn["names"])]
        assert len({style.colour for style in styles}) == len(styles), drawn


@pytest.mark.parametrize("theme", THEMES.values(), ids=list(THEMES))
def test_every_colour_stands_out_from_the_background_by_three_to_one(theme: Theme) -> None:
    def luminance(colour: str) -> float:
        parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for colour in (*theme.palette, theme.ink, theme.muted, theme.other):
        dark, light = sorted((luminance(colour), luminance(theme.background)))
        assert (light + 0.05) / (dark + 0.05) >= 3, colour


def test_the_line_of_an_efficiency_goes_through_the_best_at_each_count() -> None:
    rows = [row | {"efficiency": 1.0 - 8 / row["minutes"]} for row in SCALE[:3]]
    worse = [row | {"efficiency": row["efficiency"] - 0.1} for row in rows]
    (line,) = [
        rows_of(layer)
        for layer in marks(charts.efficiency([*rows, *worse], title="t"), "line")
        if layer["encoding"].get("strokeDash") and rows_of(layer)
    ]
    assert [point["y"] for point in line] == [row["efficiency"] for row in rows]


def test_one_family_is_highlighted_by_its_words_and_all_others_are_grey() -> None:
    chart = charts.scale(SCALE, title="t", highlight=["nvidia gb300"])
    points = [row for layer in marks(chart, "point") for row in rows_of(layer)]
    assert {row["accelerator"] for row in points} == {"NVIDIA GB300", families.OTHERS}
    assert {row["family"] for row in points if row["accelerator"] != families.OTHERS} == {
        "NVIDIA, NVIDIA GB300",
        "Nebius, NVIDIA GB300",
    }
    one = charts.bars(RANKED, title="t", highlight=["Dell"])
    bars = [row for layer in marks(one, "bar") for row in rows_of(layer)]
    assert {row["label"] for row in bars if row["key"] != families.OTHERS} == {"Dell, NVIDIA B200"}
    with pytest.raises(PitboardError, match=r"nothing called 'B300'.* It has: Dell, NVIDIA B200; Oracle"):
        charts.scale(SCALE, title="t", highlight=["B300"])


def test_a_fit_and_a_line_from_point_to_point_look_different_and_are_explained() -> None:
    fitted = [{"family": "Dell, NVIDIA B200", "accelerators": c, "minutes": 600 / c} for c in (8, 64)]
    chart = charts.scale(SCALE, title="t", fitted=fitted)
    widths = {
        layer["mark"]["strokeWidth"]: len(rows_of(layer))
        for layer in marks(chart, "line")
        if "strokeDash" in layer["encoding"] or layer["mark"].get("strokeCap")
    }
    assert min(w for w in widths if w > 5) > 3 * max(w for w in widths if w < 5)
    assert "Broad line: a law fitted to them" in subtitle(chart)
    assert "Lines join a family's best results" in subtitle(chart)
    assert "Broad line" not in subtitle(charts.scale(SCALE, title="t"))


def test_ticks_are_round_numbers_with_commas_as_many_as_there_is_room_for() -> None:
    assert log_ticks(Span(8, 310, log=True), 8) == [10, 20, 30, 50, 70, 100, 200, 300]
    assert log_ticks(Span(0.94, 1.37, log=True), 6) == [1.0, 1.1, 1.2, 1.3]
    chart = charts.scale(SCALE, title="t")
    axes = {
        channel: layer["encoding"][channel]["axis"]
        for layer in layers(chart)
        for channel in ("x", "y")
        if layer.get("encoding", {}).get(channel, {}).get("axis")
    }
    assert {axis["format"] for axis in axes.values()} == {",~f"}
    assert "tickCount" not in axes["y"]  # it would leave every other value out


def test_ranked_bars_are_grouped_the_fastest_first_and_say_what_they_leave_out() -> None:
    rows = [
        {
            "label": f"S{i}, NVIDIA B200",
            "value": 90.0 - i,
            "group": group,
            "unlike": "again" if i == 3 else "",
        }
        for group in ("8 accelerators", "16 accelerators")
        for i in range(20)
    ]
    chart = charts.bars(rows, title="t", most=10)
    headings = [
        row["heading"] for layer in marks(chart, "text") for row in rows_of(layer) if "heading" in row
    ]
    assert headings == ["8 accelerators (the first 5 of 20)", "16 accelerators (the first 5 of 20)"]
    bars = next(rows_of(layer) for layer in marks(chart, "bar"))
    assert [row["value"] for row in bars] == [71, 72, 73, 74, 75] * 2
    hollow = charts.bars(rows, title="t", most=40)
    (unlike,) = [layer for layer in marks(hollow, "bar") if layer["mark"].get("filled") is False]
    assert {row["word"] for row in rows_of(unlike)} == {"87.0, again"}
    assert "Hollow and dashed: not like for like" in subtitle(hollow)


@cache
def asked(question: str, **values: Any) -> Answer:
    return questions.question(question).ask(**values, store=default_store())


def of_rounds(benchmark: str) -> dict[str, tuple[str, str, bool]]:
    """Each pair's colour key, what is said of it, and whether it is drawn like for like."""
    drawn = draw(asked("rounds", benchmark=benchmark))
    rows = [row for layer in marks(drawn, "tick") for row in rows_of(layer)]
    return {row["label"]: (row["key"], row["word"], row["like"]) for row in rows}


def test_what_is_not_like_for_like_and_the_same_runs_never_look_like_progress() -> None:
    lora = of_rounds("llama2_70b_lora")
    key, word, like = lora["any system (any count)"]
    assert (key, like) == (families.OTHERS, False)
    assert word.endswith(", other accelerator")
    assert lora["Dell, 8 × NVIDIA B200"][0] == "NVIDIA B200"
    assert lora["Dell, 8 × NVIDIA B200"][1].endswith("(−22%)")
    nebius = {name: pair for name, pair in of_rounds("llama31_405b").items() if "Nebius" in name}
    assert len(nebius) == 2
    assert {(key, like) for key, _, like in nebius.values()} == {(families.OTHERS, False)}
    assert all(word.endswith(", the same runs") for _, word, _ in nebius.values())
    again = charts_of(table := asked("table", benchmark="llama31_405b"))[0].data(table)["rows"]
    assert {row["label"]: row["unlike"] for row in again if row["unlike"]} == {
        "Nebius, NVIDIA H200": "runs of v5.0 again"
    }


def test_a_benchmark_of_one_round_has_no_chart_of_two_and_one_pair_no_median() -> None:
    with pytest.raises(PitboardError, match=r"in one round of the store only, v5\.1, so there is no change"):
        draw(asked("rounds", benchmark="llama31_8b"))
    assert asked("rounds", benchmark="llama31_405b").title.endswith("1.43 × (n = 1)")
    assert asked("rounds", benchmark="llama2_70b_lora").title.endswith("(median, n = 14)")


def test_a_chart_names_its_unit_both_sides_and_every_round() -> None:
    retinanet = draw(asked("converge", benchmark="retinanet"))
    titles = {layer["encoding"]["y"].get("axis", {}).get("title") for layer in layers(retinanet)}
    assert "Epochs to target" in titles
    a = "5.0/NVIDIA/tyche_ngpu72_ngc25.04_nemo/llama2_70b_lora"
    b = "5.1/Lambda/gb300_n18_ngc25.04_nemo/llama2_70b_lora"
    why = draw(asked("why", a=a, b=b))
    assert f"A: {a}. B: {b}." in subtitle(why)
    said = why["title"]["text"]
    assert "MLPerf Training v5.0 and v5.1" in " ".join(said)
    curves = draw(asked("compare", a=a, b=b), "convergence")
    words = [row["word"] for layer in marks(curves, "text") for row in rows_of(layer)]
    assert words == ["target 0.925, or lower"]


def test_what_a_page_may_offer_to_highlight_is_on_the_chart() -> None:
    answer = asked("table", benchmark="llama31_8b")
    for chart in charts_of(answer):
        offered = to_highlight(answer, chart)
        assert "NVIDIA GB300" in offered
        for name in offered:
            draw(answer, chart.name, highlight=[name])
    with pytest.raises(PitboardError, match="has nothing to highlight"):
        draw(
            asked(
                "why",
                a="5.0/Dell/XE9680x8H200-SXM-141GB/llama2_70b_lora",
                b="5.1/Dell/1xXE9680x8H200-SXM-141GB/llama2_70b_lora",
            ),
            highlight=["x"],
        )
