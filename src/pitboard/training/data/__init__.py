"""Where the tokens come from: files in Megatron's format, the order they are read in, the embedded text."""
