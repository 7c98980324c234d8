"""The sequences of Llama 3.1 8B as tensors: from a tokenised text, or random ones."""

import torch
from torch.utils.data import Dataset

from pitboard.training.data.samples import TokenSamples
from pitboard.training.initialize import seeded_generator
from pitboard.training.protocol import Batch


class TextTokens(Dataset[Batch]):
    """Token samples as tensors."""

    def __init__(self, samples: TokenSamples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Batch:
        return {"tokens": torch.from_numpy(self._samples[index])}


class SyntheticTokens(Dataset[Batch]):
    """Sequences of `length` + 1 random tokens, the same for a seed and an index on any machine."""

    def __init__(self, vocabulary_size: int, length: int, count: int, seed: int) -> None:
        self._vocabulary_size = vocabulary_size
        self._length = length
        self._count = count
        self._seed = seed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Batch:
        generator = seeded_generator(torch.device("cpu"), self._seed, f"sample {index}")
        shape = (self._length + 1,)
        return {"tokens": torch.randint(self._vocabulary_size, shape, generator=generator)}
