from pathlib import Path

import pytest
from mlperf_logging.system_desc_checker import system_desc_checker

import made_results
from pitboard.compliance.submission.system import FIELDS, STATUSES, read_system


def _agreed(path: Path, ruleset: str = "5.1.0") -> bool:
    """Our verdict, when it is the official one."""
    _, findings = read_system(path, path.name, ruleset)
    valid = not any(finding.severity == "error" for finding in findings)
    assert valid == system_desc_checker.check_system_desc(str(path), "training", ruleset)[0]
    return valid


@pytest.mark.parametrize("field", FIELDS)
def test_every_mandatory_field_is_demanded_as_official(tmp_path: Path, field: str) -> None:
    assert _agreed(made_results.describe(tmp_path))
    assert not _agreed(made_results.describe(tmp_path, "box", **{field: None}))


@pytest.mark.parametrize("ruleset", ["3.1.0", "4.0.0", "5.0.0", "5.1.0", "6.1.0"])
def test_the_availability_is_demanded_since_4_0_as_official(tmp_path: Path, ruleset: str) -> None:
    for status in STATUSES:
        assert _agreed(made_results.describe(tmp_path, status=status), ruleset)
    assert _agreed(made_results.describe(tmp_path, status="cloud"), ruleset) == (ruleset < "4")


def test_what_a_table_needs_is_taken_from_it(tmp_path: Path) -> None:
    system, findings = read_system(made_results.describe(tmp_path, "box"), "box.json", "5.1.0")

    assert findings == []
    assert system is not None
    assert (system.name, system.nodes, system.accelerators_per_node, system.accelerators) == ("box", 2, 8, 16)


@pytest.mark.parametrize("count", ["many", "8.0", "", "-1", "9" * 400])
def test_a_count_that_is_no_whole_number_is_named(tmp_path: Path, count: str) -> None:
    system, findings = read_system(
        made_results.describe(tmp_path, number_of_nodes=count), "box.json", "5.1.0"
    )

    assert [finding.rule for finding in findings] == ["system-field-count"]
    assert system is not None
    assert system.accelerators is None
