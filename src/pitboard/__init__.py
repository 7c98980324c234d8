"""Pitboard races AI training stacks to a target quality, checks the race, and reads the results."""

__version__ = "0.1.0"
