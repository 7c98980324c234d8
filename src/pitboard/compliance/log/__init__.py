"""One log: read, held against the official ruleset of its round, and dated to that round."""
