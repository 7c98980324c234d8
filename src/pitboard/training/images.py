"""Write images for people to look at."""

from pathlib import Path

from torch import Tensor

_ENLARGED = 6


def write_grey_image(path: Path, levels: Tensor) -> None:
    """Write grey levels in [0, 1], shape (height, width), as a PNG, six screen pixels wide and high each."""
    from PIL import Image

    enlarged = levels.repeat_interleave(_ENLARGED, dim=0).repeat_interleave(_ENLARGED, dim=1)
    image = Image.fromarray((enlarged * 255).round().byte().numpy())
    partial = path.with_name(f".{path.name}.partial")
    image.save(partial, format="PNG")
    partial.replace(path)
