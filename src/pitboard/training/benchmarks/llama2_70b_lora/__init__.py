"""All that is the benchmark `llama2_70b_lora`'s own; nothing heavy is imported before it is asked for."""
