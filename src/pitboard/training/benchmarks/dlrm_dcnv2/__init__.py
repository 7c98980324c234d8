"""All that is the benchmark `dlrm_dcnv2`'s own; nothing heavy is imported before it is asked for."""
