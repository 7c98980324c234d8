"""The system description, `systems/<system>.json`: is it there, whole, and does it say what it must?"""

import codecs
import json
from pathlib import Path
from typing import Any

import msgspec

from pitboard.compliance.rule import UNCHECKED_OR_FATAL, Finding, Rule
from pitboard.files import read_plain
from pitboard.text import encodable

_SYSTEM_CHECKER = "mlperf-logging, system_desc_checker/system_desc_checker.py"

# What the official `system_desc_checker` demands, in every round since 1.0.
FIELDS = (
    "submitter",
    "division",
    "status",
    "system_name",
    "number_of_nodes",
    "host_processors_per_node",
    "host_processor_model_name",
    "host_processor_core_count",
    "host_processor_vcpu_count",
    "host_processor_frequency",
    "host_processor_caches",
    "host_processor_interconnect",
    "host_memory_capacity",
    "host_storage_type",
    "host_storage_capacity",
    "host_networking",
    "host_networking_topology",
    "host_memory_configuration",
    "accelerators_per_node",
    "accelerator_model_name",
    "accelerator_host_interconnect",
    "accelerator_frequency",
    "accelerator_on-chip_memories",
    "accelerator_memory_configuration",
    "accelerator_memory_capacity",
    "accelerator_interconnect",
    "accelerator_interconnect_topology",
    "cooling",
    "hw_notes",
    "framework",
    "other_software_stack",
    "operating_system",
    "sw_notes",
)
STATUSES = (
    "Available on-premise",
    "Available cloud",
    "Research, Development, or Internal (RDI)",
    "Preview",
)
# Fields that the official tools join into a table's row: anything but text ends them in a traceback.
_TEXTS = (
    "submitter",
    "system_name",
    "host_processor_model_name",
    "host_processor_core_count",
    "accelerator_model_name",
    "accelerators_per_node",
    "framework",
)
_COUNTS = ("number_of_nodes", "host_processors_per_node", "accelerators_per_node")
_MOST = 10**9
_MAX_BYTES = 1 << 20


class System(msgspec.Struct, frozen=True, kw_only=True):
    """What a description says of a system; `None` is 'not said'. `fields` is the whole of it, as written."""

    submitter: str | None = None
    division: str | None = None
    availability: str | None = None
    name: str | None = None
    nodes: int | None = None
    accelerators_per_node: int | None = None
    accelerator: str | None = None
    fields: dict[str, Any] = {}

    @property
    def accelerators(self) -> int | None:
        """Accelerators in all nodes."""
        if self.nodes is None or self.accelerators_per_node is None:
            return None
        return self.nodes * self.accelerators_per_node


def read_system(path: Path, file: str, ruleset: str) -> tuple[System | None, list[Finding]]:
    """Read and check a description; `file` is its name in findings, `ruleset` such as "5.1.0" its round.

    A description that cannot be read is a finding and no system.
    """
    try:
        text = read_plain(path, _MAX_BYTES)
        if text.startswith(codecs.BOM_UTF8):
            return None, [
                _damaged(file, "it begins with a byte-order mark, on which the official tools fail")
            ]
        fields = json.loads(text)
    except OSError as error:
        return None, [_damaged(file, error.strerror or str(error))]
    except (ValueError, RecursionError) as error:
        return None, [_damaged(file, str(error))]
    if not isinstance(fields, dict):
        return None, [_damaged(file, f"it holds a JSON {type(fields).__name__}")]
    return _system(fields), _check(fields, file, ruleset)


def _system(fields: dict[str, Any]) -> System:
    return System(
        submitter=_text(fields, "submitter"),
        division=_text(fields, "division"),
        availability=_text(fields, "status"),
        name=_text(fields, "system_name"),
        nodes=_count(fields, "number_of_nodes"),
        accelerators_per_node=_count(fields, "accelerators_per_node"),
        accelerator=_text(fields, "accelerator_model_name"),
        fields=fields,
    )


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return encodable(value) if isinstance(value, str) else None


def _count(fields: dict[str, Any], name: str) -> int | None:
    try:
        count = int(fields[name])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return count if 0 <= count <= _MOST else None


FIELD_MISSING = Rule(
    code="system-field-missing",
    title="A mandatory field is missing",
    meaning="A description has every field that the round's rules name; a field may be empty.",
    why="Readers compare systems field by field.",
    where=_SYSTEM_CHECKER,
)
FIELD_TEXT = Rule(
    code="system-field-text",
    title="A field is not text",
    meaning="The fields that go into a table are strings, numbers included.",
    why="The official checker joins them as text and ends in a traceback.",
    where=_SYSTEM_CHECKER,
)
FIELD_COUNT = Rule(
    code="system-field-count",
    title="A count is not a whole number",
    meaning="number_of_nodes, host_processors_per_node and accelerators_per_node are whole numbers.",
    why="The tables multiply them; the official summarizer ends in a traceback.",
    where="mlperf-logging, result_summarizer/result_summarizer.py",
)


def _check(fields: dict[str, Any], file: str, ruleset: str) -> list[Finding]:
    findings = [
        FIELD_MISSING.finding(
            f"The mandatory field '{name}' is missing",
            file=file,
            expected=name,
            fix=f'Add "{name}", with "" if it does not apply.',
        )
        for name in FIELDS
        if name not in fields
    ]
    findings += [
        FIELD_TEXT.finding(
            f"'{name}' is not text, at which the official tools end in a traceback",
            file=file,
            expected="a string",
            found=repr(fields[name])[:80],
            fix=f'Put quotes around the value of "{name}".',
        )
        for name in _TEXTS
        if name in fields and not isinstance(fields[name], str)
    ]
    findings += [
        FIELD_COUNT.finding(
            f"'{name}' is not a whole number, so that the system has no row in the results' table",
            file=file,
            expected='a whole number in quotes, such as "8"',
            found=repr(fields[name])[:80],
            fix=f'Write the number alone in "{name}" and explain it in hw_notes.',
        )
        for name in _COUNTS
        if name in fields and _count(fields, name) is None
    ]
    return findings + _check_words(fields, file, ruleset)


STATUS = Rule(
    code="system-status",
    title="The availability is none of the rules'",
    meaning="Since round 4.0 'status' is one of four categories, letter for letter.",
    why="Tables are split by availability.",
    where=_SYSTEM_CHECKER,
)
DIVISION = Rule(
    code="system-division",
    title="The division is neither closed nor open",
    severity="warning",
    meaning="'division' has another word in it.",
    why="The official checker then takes the result as not closed and skips seeds and convergence.",
    where=UNCHECKED_OR_FATAL,
)


def _check_words(fields: dict[str, Any], file: str, ruleset: str) -> list[Finding]:
    findings = []
    status, division = fields.get("status"), fields.get("division")
    if "status" in fields and int(ruleset.partition(".")[0]) >= 4 and status not in STATUSES:
        findings.append(
            STATUS.finding(
                "'status' does not name an availability category of the rules",
                file=file,
                expected=list(STATUSES),
                found=repr(status)[:80],
                fix="Use one of the categories, letter for letter.",
            )
        )
    if "division" in fields and division not in ("closed", "open"):
        findings.append(
            DIVISION.finding(
                "'division' is neither closed nor open, so that seeds and convergence are not judged",
                file=file,
                expected=["closed", "open"],
                found=repr(division)[:80],
                fix="Write 'closed' or 'open', in small letters.",
            )
        )
    return findings


DAMAGED = Rule(
    code="system-damaged",
    title="A description cannot be read",
    meaning="The file is not one JSON object in UTF-8 of a sane size.",
    why="The official checker ends in a traceback.",
    where=UNCHECKED_OR_FATAL,
)


def _damaged(file: str, why: str) -> Finding:
    return DAMAGED.finding(
        f"The system description cannot be read: {why}",
        file=file,
        expected="a JSON object",
        fix="Write it again as one JSON object in UTF-8.",
    )
