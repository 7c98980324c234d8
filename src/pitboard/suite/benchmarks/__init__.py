"""The benchmarks that Pitboard describes in full, a module each; `suite.rounds` has the rounds."""
