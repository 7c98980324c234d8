"""The MLLOG event stream: write it by the official logger, read it into typed events, runs and summaries."""

from pitboard.events.event import Event
from pitboard.events.precision import StatedPrecision
from pitboard.events.reader import LogFile, Problem, read_events, read_log
from pitboard.events.run import Evaluation, Run, Seed
from pitboard.events.summary import Statistic, Summary

__all__ = [
    "Evaluation",
    "Event",
    "LogFile",
    "Problem",
    "Run",
    "Seed",
    "StatedPrecision",
    "Statistic",
    "Summary",
    "read_events",
    "read_log",
]
