"""All that is the benchmark `retinanet`'s own; nothing heavy is imported before it is asked for."""
