"""The order in which a run trains on samples that it may read more than once."""

import numpy as np
import numpy.typing as npt
import torch

from pitboard.training.initialize import seeded_generator


class EpochOrder:
    """So many samples in a new order for each epoch, by the run's seed: the same for any number of ranks.

    Training sample `number` of the run is the one at `place(number)`. An order is drawn when it is first
    needed; that of the first epoch by `draw` before, where it takes minutes.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._orders: dict[int, npt.NDArray[np.int64]] = {}

    def place(self, number: int) -> int:
        """Return which sample is trained on as this one."""
        epoch, place = divmod(number, self._count)
        return int(self.draw(epoch)[place])

    def places(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return which samples are trained on as these."""
        epochs, places = np.divmod(numbers, self._count)
        for epoch in np.unique(epochs):
            these = epochs == epoch
            places[these] = self.draw(int(epoch))[places[these]]
        return places

    def draw(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the order of an epoch; it and the one before are kept, since a batch may span two."""
        if epoch not in self._orders:
            generator = seeded_generator(torch.device("cpu"), self._seed, f"epoch {epoch}")
            drawn = torch.randperm(self._count, generator=generator).numpy()
            kept = {known: order for known, order in self._orders.items() if known == epoch - 1}
            self._orders = kept | {epoch: drawn}
        return self._orders[epoch]
