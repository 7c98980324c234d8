"""How benchmarks got faster over all rounds, and what was said of it."""

from datetime import date

import pytest

from pitboard.results.find import missing_rounds, result, rounds_of
from pitboard.results.questions.claims import NOT, PARTLY, SUPPORTED, UNTOLD, _entered, _roster, claims
from pitboard.results.questions.roster import roster
from pitboard.results.questions.trend import MEASURES, trend
from pitboard.results.store import Store
from pitboard.suite import ROUNDS, find_round


@pytest.fixture(scope="module")
def store() -> Store:
    return Store("/nowhere/at/all")


def test_a_row_is_the_best_of_its_round_against_the_first_and_a_doubling_every_two_years(
    store: Store,
) -> None:
    answer = trend(store=store)
    firsts: dict[str, dict[str, object]] = {}
    for row in answer:
        values: list[object] = [row["round"], row["benchmark"]]
        entries = store.rows(
            "select minutes, accelerators, minutes * accelerators / 60 as hours from results"
            " where round = $1 and benchmark = $2 and division = 'closed' and minutes is not null",
            values,
        )
        assert row["minutes_any"] == min(each["minutes"] for each in entries)
        at_eight = [each["minutes"] for each in entries if each["accelerators"] == 8]
        assert row["minutes_eight"] == min(at_eight, default=None)
        assert row["hours_hours"] == min(each["hours"] for each in entries if each["hours"])
        first = firsts.setdefault(row["series"], row)
        days = find_round(row["round"]).published_by, find_round(str(first["round"])).published_by
        assert isinstance(days[0], date)
        assert isinstance(days[1], date)
        line = 2 ** ((days[0] - days[1]).days / 365.25 / 2)
        assert row["moore"] == pytest.approx(line)
        assert row["speedup_any"] == pytest.approx(float(str(first["minutes_any"])) / row["minutes_any"])
        assert row["ahead_any"] == pytest.approx(row["speedup_any"] / line)
        for measure in MEASURES:
            name = row[f"result_{measure}"]
            if name:
                assert result(store, name)["round"] == row["round"]
    lasts = {row["series"]: row for row in answer if row["years"] > 0}
    assert answer.facts["any"]["series"] == len(lasts)
    assert answer.facts["any"]["outpaced"] == sum(row["ahead_any"] > 1 for row in lasts.values())


def test_series_go_on_over_a_new_name_and_break_where_the_task_changed(store: Store) -> None:
    series = {row["series"] for row in trend(store=store)}
    assert "ssd → retinanet (v2.0 to v5.1)" in series
    assert "ssd (v1.0)" in series
    assert "gnn → rgat (v4.0 to v5.1)" in series
    assert "dlrm (v1.0 to v2.0)" in series
    assert "dlrm_dcnv2 (v3.1 to v5.1)" in series
    notes = trend("retinanet", store=store).notes
    assert any("target of ssd became ≥ 0.34 in v2.0; in v1.0 it was ≥ 0.23" in note for note in notes)
    assert {row["series"] for row in trend("ssd", "4.0", store=store)} == {"ssd → retinanet (v4.0 to v5.1)"}


def test_the_roster_is_set_against_any_earlier_round_and_names_the_missing(store: Store) -> None:
    answer = roster("5.1", "4.1", store=store)
    sql = "select count(*) as n from results where round = $1 and nodes > 1 and not own"
    now, then = (store.rows(sql, [number])[0]["n"] for number in ("5.1", "4.1"))
    change = {row["figure"]: (row["before"], row["now"]) for row in answer.more["change"]}
    assert change["multi-node results"] == (then, now)
    assert answer.facts["before"]["round"] == "4.1"
    assert missing_rounds(store, "5.1") == [
        each.version for each in ROUNDS if each.version < "5.1" and each.version not in rounds_of(store)
    ]
    assert any("Not in the store: v1.1, v2.1, v3.0" in note for note in answer.notes)
    assert "Google" not in roster("5.0", store=store).facts["first_timers"]


def test_claims_are_evaluated_from_the_data(store: Store) -> None:
    rows = {row["claim"]: row for row in claims(store=store)}
    verdicts = [(row["verdict"], row["found"]) for row in rows.values()]
    assert verdicts[0] == (SUPPORTED, "65 systems")
    assert verdicts[1] == (SUPPORTED, "20 organisations")
    trap = rows["Datacrunch entered 8 × B200"]
    assert trap["verdict"] == PARTLY
    assert "Verda" in trap["found"]
    assert "64 accelerators" in trap["found"]
    assert rows["Wiwynn entered 72 and 576 GPUs"]["verdict"] == SUPPORTED
    # Nothing is hard-coded: another figure, round or organisation has another verdict.
    assert _roster("systems", 66)(store, "5.1")[0] == NOT
    assert _roster("systems", 65)(store, "5.0")[0] == NOT
    assert _entered("Wiwynn", (72, 577))(store, "5.1")[0] == PARTLY
    assert _entered("Nobody", (8,))(store, "5.1")[0] == UNTOLD
