"""Run one benchmark to its target; the only room that imports torch."""
