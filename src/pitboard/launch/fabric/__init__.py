"""Is this cluster fit to race? Measured on every rank, judged against its peers and against its hardware."""
