"""What a rule is; the rules themselves are in `rules` (logs) and `result_rules` (everything above a log)."""

import msgspec


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, as `pitboard explain` prints it and as SARIF lists it."""

    code: str
    title: str
    meaning: str
    why: str
    where: str
