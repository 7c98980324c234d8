"""Draw detections into the images that they were found in, for people to look at."""

import colorsys

import torch
from torch import Tensor

from pitboard.training.benchmarks.retinanet.boxes import suppress

_ENLARGED = 4
_LEAST_SCORE = 0.2
_OVERLAP = 0.5
_FRAME = 2


def drawn(images: Tensor, detections: Tensor, columns: int, classes: int) -> Tensor:
    """Return images in [0, 1], (count, 3, size, size), with their detections drawn in, in rows of so many.

    Detections as the model gives them; the likely ones are drawn, the best at each place, each class in a
    colour of its own, with the class and its score. The result has levels in [0, 1], (height, width, 3).
    """
    tiles = [_tile(*each, classes) for each in zip(images, detections, strict=True)]
    rows = [torch.cat(tiles[first : first + columns], dim=1) for first in range(0, len(tiles), columns)]
    return torch.cat(rows)


def _tile(image: Tensor, detections: Tensor, classes: int) -> Tensor:
    from PIL import Image, ImageDraw

    pixels = (image.permute(1, 2, 0) * 255).round().byte().cpu().numpy()
    tile = Image.fromarray(pixels).resize([_ENLARGED * side for side in image.shape[:0:-1]])
    pen = ImageDraw.Draw(tile)
    likely = detections[detections[:, 4] >= _LEAST_SCORE].cpu()
    # Also of another class: two names for one thing cannot be read.
    best = suppress(likely[:, :4], likely[:, 4], torch.zeros(len(likely)), _OVERLAP)
    for *box, score, label in likely[best].flip(0).tolist():
        colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(label / classes, 0.6, 1.0))
        corners = [_ENLARGED * side for side in box]
        pen.rectangle(corners, outline=colour, width=2)
        text = f"{int(label)}  {score:.0%}"
        place = corners[0], max(0, corners[1] - 12)
        pen.rectangle(pen.textbbox(place, text), fill=colour)
        pen.text(place, text, fill="black")
    pen.rectangle((0, 0, tile.width - 1, tile.height - 1), outline="white", width=_FRAME)
    return torch.frombuffer(bytearray(tile.tobytes()), dtype=torch.uint8).view(*tile.size, 3).float() / 255
