"""The one exception that reaches a user: a sentence, never a traceback."""

import signal
from difflib import get_close_matches


class PitboardError(Exception):
    """Something a user can act on: what is wrong, where, what was expected, and what to do.

    The command line prints the message and exits with code 2; no traceback is shown. A page or the JSON API
    says it with `status`, of HTTP.
    """

    status = 400


class UnknownError(PitboardError):
    """Something that a user named is not there, such as a result."""

    status = 404


class BusyError(PitboardError):
    """The server does as much as it may at once; asking again in a moment helps."""

    status = 503


class StorageError(PitboardError):
    """A disk failed a run, which can be resumed once that is put right: no space left, a lost mount."""


class LostContactError(PitboardError):
    """Another rank of the run has gone; the reason, if anyone knows it, is told by another."""


class ToldElsewhereError(LostContactError):
    """What another rank tells for all: this one ends with the same exit code, and says nothing."""


class Stopped(BaseException):
    """The process was asked to end by a signal: a person's Ctrl-C, a scheduler, or a launcher.

    Its message, where it has one, says how to go on.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = number

    @property
    def name(self) -> str:
        """The signal's name, such as `SIGTERM`."""
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """What a shell would say of a process that the signal ended: 143 for SIGTERM, 130 for SIGINT."""
        return 128 + self.number


def near(word: str, known: "list[str] | tuple[str, ...]") -> str:
    """Say which known word is nearest to a mistyped one, as the end of an error sentence.

    Returns ``" Did you mean 'x'?"`` or, with nothing near, the list of what is known.
    """
    folded = {each.casefold(): each for each in known}
    match = get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    if match:
        return f" Did you mean '{folded[match[0]]}'?"
    return f" Known: {', '.join(known)}."
