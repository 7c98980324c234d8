"""Reports in the shapes that people and programs read: groups of findings, JSON, SARIF, a page of rules."""
