"""Time-to-train: from the runs of a result to its score, as MLPerf Training counts it."""

from pitboard.scoring.score import Score, score_result, score_tree

__all__ = ["Score", "score_result", "score_tree"]
