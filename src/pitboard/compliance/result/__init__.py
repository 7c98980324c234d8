"""One result, all runs of a benchmark on a system: settings, seeds, power and convergence."""
