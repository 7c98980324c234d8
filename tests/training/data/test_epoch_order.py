"""The order of training samples: each once an epoch, in a new order each time, by the seed alone."""

import numpy as np

from pitboard.training.data.epoch_order import EpochOrder


def test_each_sample_comes_once_an_epoch_and_a_batch_may_span_two() -> None:
    order = EpochOrder(7, seed=3)
    first, second = (order.places(np.arange(begin, begin + 7)) for begin in (0, 7))
    assert sorted(first) == sorted(second) == list(range(7))
    assert first.tolist() != second.tolist()
    assert order.places(np.array([13, 5, 7])).tolist() == [second[6], first[5], second[0]]
    # One by one, as another process reads them, and from a resumed epoch on.
    assert [EpochOrder(7, seed=3).place(number) for number in range(14)] == [*first, *second]
    assert EpochOrder(7, seed=4).places(np.arange(7)).tolist() != first.tolist()
