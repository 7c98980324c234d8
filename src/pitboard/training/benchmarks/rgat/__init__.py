"""All that is the benchmark `rgat`'s own; nothing heavy is imported before it is asked for."""
