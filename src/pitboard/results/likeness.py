"""Which results may be set side by side, and with what said (MLCommons' rules for citing results)."""

import json

from pitboard.results.schema import Row


def unlike(a: Row, b: Row, *, across_rounds: bool = False) -> list[str]:
    """Say in what two results differ that a comparison must name; nothing where they are like for like.

    MLCommons' policy for messages about results asks that a comparison names every difference in version,
    division, category (availability), verified status and count of accelerators; we name a difference in
    stated precision too. `across_rounds` leaves out version and precision, for a comparison that is
    about what two rounds have changed. Another benchmark or target cannot be compared at all, and is named
    first.
    """
    reasons = []
    if a["benchmark"] != b["benchmark"]:
        reasons.append(f"The benchmarks differ: {a['benchmark']} and {b['benchmark']}.")
    elif a["target"] is not None and b["target"] is not None and a["target"] != b["target"]:
        reasons.append(f"The quality targets differ: {a['target']:g} and {b['target']:g}.")
    if bool(a["own"]) != bool(b["own"]):
        reasons.append("One is published, the other your own run: not verified by MLCommons Association.")
    if a["round"] != b["round"] and not across_rounds:
        reasons.append(
            f"The rounds differ: v{a['round']} and v{b['round']}; rules and reference code may have changed."
        )
    for name, what in (("division", "divisions"), ("availability", "availability categories")):
        if a[name] != b[name]:
            reasons.append(f"The {what} differ: {a[name] or 'not stated'} and {b[name] or 'not stated'}.")
    if a["accelerators"] != b["accelerators"]:
        reasons.append(
            f"The accelerator counts differ: {a['accelerators'] or 'not stated'} and "
            f"{b['accelerators'] or 'not stated'}; time does not fall in proportion to accelerators."
        )
    if not across_rounds and a["precision"] and b["precision"] and a["precision"] != b["precision"]:
        reasons.append(f"The precisions differ: {a['precision']} and {b['precision']}.")
    for name, row in (("A", a), ("B", b)):
        if row["own"] and _changed(row):
            names = _changed(row)
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            reasons.append(f"{name} changed settings of its preset: {', '.join(names[:5])}{more}.")
    return reasons


def disclosed(a: Row, b: Row) -> list[Row]:
    """Give the disclosed settings (precision, parallelism, micro-batch, configuration) of two results.

    Rows have `setting`, `a` and `b` as text, `None` where not disclosed, and `same`, `None` unless both are.
    """
    first, second = disclosures(a), disclosures(b)
    return [
        {
            "setting": name,
            "a": first.get(name),
            "b": second.get(name),
            "same": first[name] == second[name] if name in first and name in second else None,
        }
        for name in dict.fromkeys([*first, *second])
    ]


def disclosures(row: Row) -> dict[str, str]:
    """Give what the logs of a result disclose, as round 6.1 asks: names in its order, values as text."""
    from pitboard.events.summary import DISCLOSURES

    settings = _settings(row)
    return {name: str(settings[name]) for name in DISCLOSURES if name in settings}


def _settings(row: Row) -> Row:
    settings = row.get("settings") or {}
    return dict(json.loads(settings) if isinstance(settings, str) else settings)


def preset_of(row: Row) -> str | None:
    """Give the preset other than `full` that makes a result none of MLPerf's, or `None`."""
    preset = row.get("preset")
    return None if preset in (None, "full") else str(preset)


def _changed(row: Row) -> list[str]:
    """Name the settings that a run of ours changed of its preset, but for those that MLPerf leaves open."""
    from pitboard.compliance.result.reference import FREE

    named = _settings(row).get("pitboard_changed")
    free: frozenset[str] = frozenset() if preset_of(row) else FREE
    return [str(name) for name in named if name not in free] if isinstance(named, list) else []


def incomparable(a: Row, b: Row) -> str | None:
    """Say why no speed-up between two results means anything, or give `None`."""
    if a["benchmark"] != b["benchmark"]:
        return f"they are of different benchmarks, {a['benchmark']} and {b['benchmark']}"
    presets = [preset_of(row) for row in (a, b)]
    if presets[0] != presets[1]:
        scaled = presets[0] or presets[1]
        if None in presets:
            return (
                f"one is of preset {scaled}, which is not an MLPerf result, the other of the benchmark itself"
            )
        return f"they are of different presets, {presets[0]} and {presets[1]}"
    if a["target"] is not None and b["target"] is not None and a["target"] != b["target"]:
        return f"they race to different quality targets, {a['target']:g} and {b['target']:g}"
    for row in (a, b):
        if row.get("emulated"):
            return f"the precision of {row['submitter']}'s was emulated, so its time says nothing"
    return None
