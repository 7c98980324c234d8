"""The MLLOG event stream: write it through the official logger, read it into typed events and runs."""

from pitboard.events.event import Event
from pitboard.events.reader import read_events
from pitboard.events.run import Evaluation, Run

__all__ = ["Evaluation", "Event", "Run", "read_events"]
