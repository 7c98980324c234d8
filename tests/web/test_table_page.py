"""The table of results: what it offers has an answer, and what was chosen is kept."""

import re
from html import unescape
from itertools import combinations
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi.testclient import TestClient

from pitboard import results
from pitboard.results.question import as_list
from pitboard.results.store import Store
from pitboard.web import asking

A, B = "5.1/NVIDIA/tyche_ngpu8_ngc25.09_nemo/llama31_8b", "5.1/Nebius/nebius_b200_n1/llama31_8b"
C = "5.1/Nebius/nebius_b200_n4/flux1"
FILTERS = (
    *("benchmark", "accelerators", "accelerator", "submitter", "precision", "round", "division"),
    "availability",
)

Offered = dict[str, dict[str, int]]


def _offered(text: str) -> Offered:
    """Read what the page's filters offer: for each, its values with their counts."""
    found = re.findall(
        r'<input type="checkbox" name="(\w+)" id="[^"]+" value="([^"]+)"[^>]*> [^<]+<small>([\d,]+)</small>',
        text,
    )
    offered: Offered = {name: {} for name in FILTERS}
    for name, value, count in found:
        offered[name][unescape(value)] = int(count.replace(",", ""))
    return offered


def _rows(text: str) -> int:
    return text.count('<td class="pick"><label>') + text.count('<td class="pick"></td>')


def test_each_pair_of_filters_that_the_page_offers_has_the_results_that_it_counts(client: TestClient) -> None:
    first = _offered(client.get("/results").text)
    assert all(first[name] for name in FILTERS)
    rarest = {name: min(values, key=lambda value: values[value]) for name, values in first.items()}
    rarest["round"] = "4.1"
    then = {name: client.get("/results", params={name: value}) for name, value in rarest.items()}
    asked = 0
    for name, other in combinations(FILTERS, 2):
        page = then[name]
        assert page.status_code == 200
        counts = _offered(page.text)[other]
        if not counts:  # none of these results states one
            continue
        asked += 1
        value = min(counts, key=lambda value: counts[value])
        pair = client.get("/results", params={name: rarest[name], other: value, "sort": "-accelerators"})
        assert (pair.status_code, _offered(pair.text)[name] != {}) == (200, True)
        if other != "round" or value == rarest["round"]:  # another round beside the newest is one of its own
            assert _rows(pair.text) == counts[value] > 0, (name, rarest[name], other, value)
    assert asked > 20


def test_every_pair_of_values_of_a_round_has_as_many_results_as_its_filter_says_or_says_that_it_has_none(
    client: TestClient,
) -> None:
    store = Store("/nowhere/at/all")
    names = [name for name in FILTERS if name != "round"]
    rows = results.entries(round="5.1", store=store).rows
    offered: dict[str, list[str]] = {name: [] for name in names}
    for row in results.filters(round="5.1", store=store):
        if row["filter"] in offered and row["value"] is not None:
            offered[row["filter"]].append(row["value"])
    asked, empty = 0, {}
    for name in names:
        for value in offered[name]:
            filters = asking.ask(store, "filters", {"round": "5.1", name: value})
            meant = {str(each) for each in as_list(filters.parameters[name]) or []}  # FP8 names MXFP8, too
            says = {(row["filter"], row["value"]): row["results"] for row in filters}
            for other in names:
                for beside in offered[other] if other != name else []:
                    have = sum(str(row[name]) in meant and str(row[other]) == beside for row in rows)
                    assert says.get((other, beside), 0) == have, (name, value, other, beside)
                    asked += 1
                    if not have:
                        empty[name] = {name: value, other: beside}
    assert asked > 2000
    assert set(empty) == set(names) - {"division"}  # of which that round has one
    for pair in empty.values():
        page = client.get("/results", params={"round": "5.1", **pair, "sort": "-accelerators"})
        assert (page.status_code, _rows(page.text)) == (200, 0)
        assert "No result matches" in page.text
        assert all(_offered(page.text)[name] for name in pair)


def test_without_a_tick_the_newest_round_is_shown_and_the_filter_says_so(client: TestClient) -> None:
    form = client.get("/results?search=&benchmark=flux1&shown=minutes&columns=minutes")
    assert str(form.url).endswith("/results?benchmark=flux1")
    assert 'value="5.1" checked' in form.text
    panel = form.text.partition('id="choices-round"')[2].partition("</div>")[0]
    assert "Without a tick: the newest round" in panel


def test_filters_take_several_values_and_their_counts_follow_the_others(client: TestClient) -> None:
    text = client.get("/results?accelerator=NVIDIA+B200&accelerator=NVIDIA+B300&benchmark=flux1").text
    offered = _offered(text)
    counted = results.entries(accelerator=["NVIDIA B200", "NVIDIA B300"])
    assert sum(offered["benchmark"].values()) == len(counted)
    assert offered["benchmark"]["flux1"] == sum(row["benchmark"] == "flux1" for row in counted)
    assert set(offered["accelerator"]) == {"NVIDIA B200", "NVIDIA GB200", "NVIDIA GB300", "NVIDIA B300"}
    assert offered["accelerator"]["NVIDIA B300"] == 0  # chosen, so that it can be taken back
    assert "2 chosen" in text
    assert 'href="/results?accelerator=NVIDIA+B200&amp;benchmark=flux1"' in text  # without the other one


def test_what_no_result_has_leaves_the_filters_and_a_way_back(client: TestClient) -> None:
    for address, status in (
        ("/results?benchmark=flux1&accelerator=AMD+MI300X", 200),
        ("/results?benchmark=flux1&accelerators=7", 200),
        ("/results?search=nobody+at+all&benchmark=flux1", 200),
        ("/results?submitter=Nobody&benchmark=flux1", 404),
        ("/results?submitter=Nobody&benchmark=flux1&view=official", 404),
    ):
        page = client.get(address)
        assert page.status_code == status
        assert "No result matches" in page.text
        assert _offered(page.text)["benchmark"]
        without = re.findall(r'<li><a href="(/results[^"]*)"><span class="quiet">(\w+)', page.text)
        assert len(without) == 2
        back = client.get(unescape({name: link for link, name in without}["Benchmark"]))
        assert "flux1" not in urlsplit(str(back.url)).query
    gone = client.get("/results?view=official&benchmark=llama31_8b&sort=flux1")
    assert (gone.status_code, "no column &#39;flux1&#39;" in gone.text, "<table" in gone.text) == (
        200,
        True,
        True,
    )


def test_columns_are_chosen_in_the_address_and_the_usual_ones_need_no_place_there(client: TestClient) -> None:
    def headings(text: str) -> list[str]:
        return re.findall(r'id="by-(\w+)"', text)

    usual = headings(client.get("/results").text)
    assert usual[0] == "minutes"
    assert 6 <= len(usual) <= 8
    chosen = client.get("/results?columns=system,minutes,nodes").text
    assert headings(chosen) == ["system", "minutes", "nodes"]
    assert 'name="columns" id="column-nodes" value="nodes" checked' in chosen
    assert headings(client.get("/results?round=5.0&round=5.1").text)[1] == "round"
    form = [("columns", name) for name in usual] + [
        ("shown", ",".join(usual)),
        ("sort", ""),
        ("benchmark", "flux1"),
    ]
    assert str(client.get(f"/results?{urlencode(form)}").url).endswith("/results?benchmark=flux1")
    form = [("columns", name) for name in [*usual, "nodes"]] + form[len(usual) :]
    assert parse_qs(urlsplit(str(client.get(f"/results?{urlencode(form)}").url)).query) == {
        "benchmark": ["flux1"],
        "columns": [",".join([*usual, "nodes"])],
    }


def test_picks_are_kept_whatever_is_filtered_and_lead_to_the_comparison(client: TestClient) -> None:
    query = urlencode([("benchmark", "llama31_8b"), ("sort", "-minutes"), ("r", A), ("r", B), ("r", C)])
    text = client.get(f"/results?{query}").text
    for each in (A, B):
        assert f'value="{each}" checked' in text
    assert f'<input type="hidden" name="r" value="{C}">' in text
    assert "Compare the 3 selected" in text
    six = [("r", f"{A}{at}") for at in range(8)]
    full = client.get(f"/results?{urlencode([*six, ('benchmark', 'llama31_8b')])}")
    assert parse_qs(urlsplit(str(full.url)).query)["r"] == [value for _, value in six[:6]]
    assert len(re.findall(r'name="r" id="[^"]*" value="[^"]*" disabled', full.text)) == _rows(full.text)
    sent = client.get(f"/results?{query}&compare=1", follow_redirects=False)
    assert (sent.status_code, sent.headers["location"]) == (303, f"/compare?r={A}&r={B}&r={C}")


def test_a_swap_brings_the_filters_and_the_address_with_the_table(client: TestClient) -> None:
    htmx = {"hx-request": "true"}
    form = f"/results?search=&sort=&benchmark=flux1&shown=minutes&columns=minutes&r={C}"
    part = client.get(form, headers=htmx, follow_redirects=False)
    assert part.headers["hx-push-url"] == f"/results?benchmark=flux1&r={C}"
    assert "<html" not in part.text
    assert part.text.count('hx-swap-oob="true"') == 2 * len(FILTERS) + 2
    assert client.get(f"{form}&compare=1", headers=htmx).headers["hx-redirect"] == f"/compare?r={C}"
