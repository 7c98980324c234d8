"""What the OpenAPI document says beyond the routes: shapes and errors in users' words, and real answers."""

from copy import deepcopy
from typing import Any

import msgspec

from pitboard.compliance.rule import Finding, Rule
from pitboard.errors import PitboardError
from pitboard.results import questions
from pitboard.results.answer import Answer, document
from pitboard.results.store import Store
from pitboard.scoring import Score

Document = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_LONGEST = 140
_ABOUT = {
    "Answer": "Rows under columns, what their figures mean, and what to beware of.",
    "Column": "A column of a table: its name in the rows, a title for people, and the unit of its values.",
    "Table": "Further rows that belong to an answer.",
    "Finding": "One thing that is wrong, or suspicious, by one rule.",
    "Rule": "A rule that a finding can name: what it means, why it is there, and where it is written.",
    "Score": "A scored result. Its minutes include the RCP scaling factor.",
    "Report": "The verdict on what was uploaded, as `pitboard check --format json` gives it, and its scores.",
    "Error": "What went wrong, as one or two sentences for people.",
}
_FIELDS = {
    "Answer": {
        "definition": "How the figures are worked out, and by which official rule.",
        "sql": "The query that was asked of the store.",
        "parameters": "What was asked, as it was understood.",
        "warnings": "Why figures are not like for like.",
        "notes": "What the answer cannot tell, and sources.",
        "facts": "Single figures by name.",
        "more": "Further tables by name.",
        "detail": "True of rows that are too many to read.",
    },
    "Column": {
        "unit": 'Such as "min", "samples" or "×"; empty for none.',
        "digits": "The decimals that people are shown; values are given whole.",
        "detail": "True of a column that a table leaves out by default.",
        "mark": "The field of a row that holds a sign to show behind the value, if any.",
    },
    "Finding": {"line": "The line of the file, from 1; null for the whole file.", "fix": "What to do."},
    "Score": {
        "minutes": "The benchmark result in minutes; null where the rules give none.",
        "runs": "The minutes of each run; null for one that does not count.",
        "runs_needed": "How many runs a result of this benchmark has; null where any number will do.",
        "joules": "Energy to target in joules, where there are power files.",
    },
}
_ERRORS = {
    400: "A parameter is missing, has a value that cannot be, or is not one that this address takes.",
    403: "The upload came from a page of another site.",
    404: "Nothing has the name that was asked for; the nearest is named.",
    408: "The upload took too long.",
    413: "The upload is too large.",
    422: "A value is of the wrong kind, or the upload cannot be read.",
    503: "Too much is being asked just now: try again after the seconds in Retry-After.",
}


def errors(*statuses: int) -> dict[int | str, Any]:
    """Return the responses of an operation that are errors, as FastAPI takes them."""
    schema = {"$ref": _REFERENCE.format(name="Error")}
    return {
        status: {"description": _ERRORS[status], "content": {"application/json": {"schema": schema}}}
        for status in statuses
    }


def content(kind: str, schema: str) -> dict[str, Any]:
    """Return the content of a response that has one of the document's shapes."""
    return {kind: {"schema": {"$ref": _REFERENCE.format(name=schema)}}}


def complete(described: Document, store: Store | None) -> Document:
    """Return an OpenAPI document with its shapes and, where there is a store, with examples of answers."""
    made = deepcopy(described)
    made["components"] = {"schemas": _schemas()}
    known = examples(store) if store else {}
    for path, operations in made["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                parameter["schema"] = _without_null(parameter["schema"])
            name = path.removeprefix("/api/").partition("/")[0]
            if name in questions.names():
                _exemplify(operation, questions.question(name).example, known.get(name))
    return made


def _without_null(schema: Document) -> Document:
    """Return the schema of a parameter, which is left out rather than null."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    plain = {name: value for name, value in schema.items() if name not in ("anyOf", "title", "description")}
    return plain | (kinds[0] if kinds else {})


def _exemplify(operation: Document, example: dict[str, Any], answer: Document | None) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["name"] in example:
            value = example[parameter["name"]]
            parameter["example"] = [value] if parameter["schema"].get("type") == "array" else value
    shown = operation["responses"]["200"]["content"].get("application/json", {})
    if answer and shown.get("schema") == {"$ref": _REFERENCE.format(name="Answer")}:
        shown["example"] = answer


def _schemas() -> Document:
    schemas = msgspec.json.schema_components([Answer, Finding, Rule, Score], ref_template=_REFERENCE)[1]
    finding = {"$ref": _REFERENCE.format(name="Finding")}
    findings = {"type": "array", "items": finding}
    judged = {
        "benchmark": _nullable("string"),
        "division": _nullable("string"),
        "valid": {"type": "boolean"},
        "kind": {"enum": ["mlperf", "preset"], "description": "preset: a run of a preset, no MLPerf result."},
        "preset": _nullable("string"),
        "findings": findings,
    }
    log = {"path": {"type": "string"}, **judged}
    result = {
        "submitter": {"type": "string"},
        "system": {"type": "string"},
        **judged,
        "rcp": {"type": ["object", "null"], "description": "The test of convergence, where it was made."},
        "rcp_not_held": _nullable("string"),
        "rcp_precision": _nullable("string"),
    }
    report = {
        "name": {"type": "string", "description": "What the file was called."},
        "round": _nullable("string"),
        **{name: judged[name] for name in ("valid", "kind", "preset", "findings")},
        "logs": {"type": "array", "items": _object(log)},
        "results": {"type": "array", "items": _object(result)},
        "scores": {"type": "array", "items": {"$ref": _REFERENCE.format(name="Score")}},
    }
    schemas |= {"Report": _object(report), "Error": _object({"error": {"type": "string"}})}
    # Which file a finding is about stands beside it, but within a log's own findings.
    schemas["Finding"]["required"] = ["rule", "severity", "line", "message", "expected", "found", "fix"]
    for name, schema in schemas.items():
        schema.pop("title", None)
        schema["description"] = _ABOUT[name]
        for field, said in _FIELDS.get(name, {}).items():
            schema["properties"][field]["description"] = said
    return schemas


def _nullable(kind: str) -> Document:
    return {"type": [kind, "null"]}


def _object(properties: Document) -> Document:
    return {"type": "object", "properties": properties, "required": list(properties)}


_known: dict[str, dict[str, Document]] = {}


def examples(store: Store) -> dict[str, Document]:
    """Return an answer of the store to each question that has an example, shortened; made once."""
    version = store.version
    if version not in _known:
        made = {}
        for question in questions.declared():
            if question.example or not question.required:
                try:
                    made[question.name] = _shortened(document(question.ask(**question.example, store=store)))
                except PitboardError:  # of a store without the round
                    continue
        _known.clear()
        _known[version] = made
    return _known[version]


def _shortened(answer: Document) -> Document:
    """Return an answer of the same shape with one row of each table and the beginnings of texts."""
    kept = {**answer, "columns": answer["columns"][:2], "rows": answer["rows"][:1]}
    kept["notes"], kept["warnings"] = answer["notes"][:1], answer["warnings"][:1]
    kept["more"] = {
        name: {**table, "columns": table["columns"][:1], "rows": table["rows"][:1]}
        for name, table in answer["more"].items()
    }
    short: Document = _cut(msgspec.to_builtins(kept))
    return short


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _cut(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_cut(part) for part in value[:4]]
    return f"{value[:_LONGEST]}…" if isinstance(value, str) and len(value) > _LONGEST else value
