"""In what a benchmark counts its convergence."""

from collections.abc import Iterable

from pitboard.results.schema import Row


def counted_in(rows: Iterable[Row]) -> str:
    """Tell "epochs" from "samples" by results' rows: fewer samples than one batch can only be epochs."""
    pairs = [
        (row["samples_to_target"], row["global_batch_size"])
        for row in rows
        if row["samples_to_target"] and row["global_batch_size"]
    ]
    return "epochs" if any(samples < batch for samples, batch in pairs) else "samples"
