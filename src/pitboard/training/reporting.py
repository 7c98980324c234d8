"""What the loop tells whoever watches a run; the command line draws it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Course:
    """What is raced, told once: the benchmark's name, its preset, target and limits, in samples."""

    benchmark: str
    preset: str
    target: float | None
    lower_is_better: bool
    first_evaluation: int | None
    evaluation_interval: int | None
    sample_limit: int
    tokens_per_sample: int
    ranks: int
    device: str


class Reporter(Protocol):
    """Watches one run, from rank 0."""

    def preparing(self, what: str) -> None:
        """Initialisation does `what` now; the clock of the race does not run."""

    def noted(self, what: str) -> None:
        """Something was decided that the user should know: `what` is a sentence without its end."""

    def started(self, course: Course, samples: int) -> None:
        """The race starts, or after a resume goes on, at a number of training samples."""

    def wants_loss(self) -> bool:
        """Whether the next step's loss will be shown; reading it makes a GPU wait."""

    def stepped(self, samples: int, loss: float | None) -> None:
        """A step is done."""

    def evaluated(self, samples: int, quality: float) -> None:
        """An evaluation is done."""


class Silent:
    """A reporter that shows nothing, for the ranks other than 0."""

    def preparing(self, what: str) -> None:
        """Show nothing."""

    def noted(self, what: str) -> None:
        """Show nothing."""

    def started(self, course: Course, samples: int) -> None:
        """Show nothing."""

    def wants_loss(self) -> bool:
        """Want no loss."""
        return False

    def stepped(self, samples: int, loss: float | None) -> None:
        """Show nothing."""

    def evaluated(self, samples: int, quality: float) -> None:
        """Show nothing."""
