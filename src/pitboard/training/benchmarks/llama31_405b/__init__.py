"""All that is the benchmark `llama31_405b`'s own; nothing heavy is imported before it is asked for."""
