"""Write images for people to look at."""

from pathlib import Path

from torch import Tensor

_LONGEST_SIDE = 600


def write_image(path: Path, levels: Tensor) -> None:
    """Write levels in [0, 1] as a PNG: grey, shape (height, width), or coloured, (height, width, 3).

    Each pixel of a small image becomes as many as still make it no larger than 600 × 600.
    """
    from PIL import Image

    factor = max(1, _LONGEST_SIDE // max(levels.shape[:2]))
    enlarged = levels.repeat_interleave(factor, dim=0).repeat_interleave(factor, dim=1)
    image = Image.fromarray((enlarged * 255).round().byte().numpy())
    partial = path.with_name(f".{path.name}.partial")
    image.save(partial, format="PNG")
    partial.replace(path)
