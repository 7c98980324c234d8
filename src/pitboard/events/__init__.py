"""The MLLOG event stream: write it through the official logger, read it into typed events and runs."""

from pitboard.events.event import Event
from pitboard.events.reader import LogFile, Problem, read_events, read_log
from pitboard.events.run import Evaluation, Run, Seed

__all__ = ["Evaluation", "Event", "LogFile", "Problem", "Run", "Seed", "read_events", "read_log"]
