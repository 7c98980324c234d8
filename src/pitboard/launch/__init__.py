"""Runs: planned, started as ranks on nodes, repeated, continued, and in series; training does each one."""
