"""What is raced: rounds, benchmarks, targets and presets, as data."""
