"""Predict every published result from the others, as `pitboard results expect` does, and print the errors.

`python benchmarks/backtest_expectations.py` prints the table of docs/expect.md; with `--write` it puts the
table there. Two ways: from the results of all other organisations, which is what a buyer has, and from all
other results, of the same organisation too. The last rows ask whether a proxy helps: an organisation's own
llama31_8b result against the others', as a factor on its results of other benchmarks.
"""

import sys
from pathlib import Path
from statistics import median

from pitboard.results.expecting import Error, backtest, estimate, interval, published
from pitboard.results.find import default_store, rounds_of
from pitboard.results.organisations import one_name
from pitboard.results.schema import Row

PAGE = Path(__file__).parents[1] / "docs" / "expect.md"
BEGIN, END = "<!-- Written by `benchmarks/backtest_expectations.py --write`. -->", "<!-- End of it. -->"
PROXY = "llama31_8b"
_NEAR = {0: "at the same count", 1: "up to a doubling away", 2: "further away"}


def main() -> None:
    """Print the table, and write it into the page where that is asked for."""
    store = default_store()
    lines = [
        "| round | predicted from | nearest | results | median error | 90th percentile | in interval |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    newest = rounds_of(store)[-2:][::-1]
    for version in newest:
        rows = published(store, version, "closed")
        for words, strangers in (("other organisations", True), ("all other results", False)):
            errors = backtest(rows, strangers=strangers)
            lines.append(_line(version, words, "any", len(rows), errors, errors))
            for kind, near in _NEAR.items():
                alike = [error for error in errors if _kind(error) == kind]
                if strangers and alike:
                    lines.append(_line(version, words, near, None, alike, errors))
        for words, errors in _with_proxy(rows):
            lines.append(_line(version, words, "any", None, errors, None))
    text = "\n".join(lines)
    print(text)
    if "--write" in sys.argv:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _kind(error: Error) -> int:
    return 0 if error.distance == 0 else 1 if error.distance <= 1 else 2


def _line(
    version: str, words: str, near: str, of: int | None, errors: list[Error], every: list[Error] | None
) -> str:
    off = sorted(error.off for error in errors)
    count = f"{len(errors)}" + ("" if of is None else f" of {of}")
    inside = ""
    if every is not None:
        # The interval of a result is that of all the others' errors.
        held = [
            ends is not None and ends[0] <= error.ratio <= ends[1]
            for error in errors
            for ends in [interval(1.0, error.distance, [each for each in every if each is not error])]
        ]
        inside = f"{sum(held) / len(held):.0%}"
    ninety = off[min(len(off) - 1, round(0.9 * len(off)))]
    return f"| {version} | {words} | {near} | {count} | {median(off):.1%} | {ninety:.1%} | {inside} |"


def _with_proxy(rows: list[Row]) -> list[tuple[str, list[Error]]]:
    """Compare predictions with and without the organisation's own proxy, where it has one."""
    plain, scaled = [], []
    for row in rows:
        who = one_name(row["organisation"])
        if row["benchmark"] == PROXY:
            continue
        others = [other for other in rows if one_name(other["organisation"]) != who]
        found = estimate(others, row["benchmark"], row["accelerator"], row["accelerators"])
        ratios = [
            own["minutes"] / field.minutes
            for own in rows
            if one_name(own["organisation"]) == who
            and (own["benchmark"], own["accelerator"]) == (PROXY, row["accelerator"])
            and (field := estimate(others, PROXY, own["accelerator"], own["accelerators"])) is not None
        ]
        if found is None or not ratios:
            continue
        plain.append(Error(row, found.distance, row["minutes"] / found.minutes))
        scaled.append(Error(row, found.distance, row["minutes"] / (found.minutes * median(ratios))))
    if not plain:
        return []
    return [
        (f"other organisations, where there is a {PROXY} of its own", plain),
        (f"the same, scaled by its own {PROXY}", scaled),
    ]


if __name__ == "__main__":
    main()
