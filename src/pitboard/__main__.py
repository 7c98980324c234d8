"""`python -m pitboard`, which `torchrun -m pitboard` also enters by."""

from pitboard.cli import main

if __name__ == "__main__":
    main()
