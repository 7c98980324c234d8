"""All that is the benchmark `llama31_8b`'s own; nothing heavy is imported before it is asked for."""
