"""In what a benchmark counts its convergence."""

from collections.abc import Iterable

from pitboard.results.schema import Row


def counted_in(rows: Iterable[Row]) -> str:
    """Tell "epochs" from "samples" by results' rows: fewer samples than one batch can only be epochs, too."""
    from pitboard.compliance.result.benchmarks import convergence_unit

    counted = [
        (row.get("benchmark"), row["samples_to_target"], row["global_batch_size"])
        for row in rows
        if row["samples_to_target"] and row["global_batch_size"]
    ]
    in_epochs = any(
        samples < batch or convergence_unit(benchmark, samples) == "epochs"
        for benchmark, samples, batch in counted
    )
    return "epochs" if in_epochs else "samples"
