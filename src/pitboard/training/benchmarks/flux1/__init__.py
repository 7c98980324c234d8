"""All that is the benchmark `flux1`'s own; nothing heavy is imported before it is asked for."""
