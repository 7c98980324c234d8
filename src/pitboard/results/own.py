"""What a user added beside what was published: which of it a question shows, and the note that says so."""

from pitboard.results.schema import OWN

SHOWN = "(not own or $with_own and coalesce(preset, 'full') = 'full')"
"""SQL over `results`: what was published, and with `$with_own` the user's own of no scaled-down preset."""

_NOT_VERIFIED = "Entries marked '(own)' are not published results: not verified by MLCommons Association."


def asked_for(with_own: bool, submitter: object) -> bool:
    """Tell whether the user's own are asked for: by the option, or by naming one of their submitters."""
    return with_own or str(submitter).endswith(OWN)


def notes(with_own: bool) -> list[str]:
    """Return the note of an answer in which the user's own are shown."""
    return [_NOT_VERIFIED] if with_own else []
