"""Kernels of our own before PyTorch's on the CPU, and how both are timed to choose between them."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.library import Library

# A product of the smallest shape that matters in a smoke preset: 256 tokens of a Llama's feed-forward part.
ROWS, INNER, COLUMNS = 256, 192, 672


def put_before(kernels: Mapping[str, Callable[..., Any]]) -> Library:
    """Put kernels before PyTorch's own for the CPU, by the names of their operators in `aten`.

    They stay while the library that it returns lives, which PyTorch keeps.
    """
    library = Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        # PyTorch says that it overrides a kernel: it is asked to.
        warnings.simplefilter("ignore", UserWarning)
        for name, kernel in kernels.items():
            library.impl(name, kernel, "CPU", with_keyset=True)  # type: ignore[no-untyped-call]
    return library


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Compute on one thread, to be timed in its CPU time: many would wait for a busy neighbour."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
