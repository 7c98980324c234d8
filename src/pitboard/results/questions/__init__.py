"""The questions, one function and one module each."""
