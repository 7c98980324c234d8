"""Start the processes of a run: torchrun."""
