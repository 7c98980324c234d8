"""Was the race fair? The official rules as findings that a person can act on."""

from pitboard.compliance.finding import Finding

__all__ = ["Finding"]
