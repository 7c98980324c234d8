"""What a run reports while it runs; the command line shows it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class RunInfo:
    """What is raced, told once: the benchmark's name, its preset, target and limits, in samples.

    `quality_name` is what the display calls the quality, such as "validation loss".
    """

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
    quality_name: str


class Reporter(Protocol):
    """Watches one run, from rank 0."""

    def preparing(self, what: str) -> None:
        """Initialisation does `what` now; the clock of the race does not run."""

    def notice(self, what: str) -> None:
        """Something was decided that the user should know: `what` is a sentence without its end."""

    def started(self, info: RunInfo, samples: int) -> None:
        """The race starts, or continues after a resume, at a number of training samples."""

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

    def notice(self, what: str) -> None:
        """Show nothing."""

    def started(self, info: RunInfo, samples: int) -> None:
        """Show nothing."""

    def wants_loss(self) -> bool:
        """Want no loss."""
        return False

    def stepped(self, samples: int, loss: float | None) -> None:
        """Show nothing."""

    def evaluated(self, samples: int, quality: float) -> None:
        """Show nothing."""
