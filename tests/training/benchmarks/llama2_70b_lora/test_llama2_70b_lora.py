"""Llama 2 70B LoRA: the official size, what is trained, and that packed documents do not see each other."""

from pathlib import Path
from typing import Any

import pytest
import torch

import stand_in
from official import official_messages
from pitboard import suite
from pitboard.errors import PitboardError
from pitboard.events import Run, read_events
from pitboard.training.benchmarks.llama2_70b_lora.benchmark import Llama2Lora, LoraSettings
from pitboard.training.data.safetensors_folder import SafetensorsFolder
from pitboard.training.initialize import seeded_generator
from pitboard.training.output import Plan
from pitboard.training.runner import settings_for
from stand_in import built

SMALL: dict[str, Any] = {
    "compile": False,
    "layers": 2,
    "hidden_size": 64,
    "intermediate_size": 96,
    "sequence_length": 64,
}


class RandomBase(Llama2Lora):
    """The benchmark on a base that is drawn, not pre-trained."""

    def rows(self, name: str, shape: torch.Size, first: int, count: int) -> torch.Tensor:
        drawn = torch.normal(0.0, 0.1, shape, generator=seeded_generator(torch.device("cpu"), 1, name))
        return drawn[first : first + count] if len(shape) > 1 else torch.ones(count)


def lora(preset: str = "smoke", **overrides: Any) -> Llama2Lora:
    settings = settings_for("llama2_70b_lora", preset, overrides)
    assert isinstance(settings, LoraSettings)
    return RandomBase(settings)


def test_full_is_the_official_size_and_stays_on_meta() -> None:
    with torch.device("meta"):
        model = lora("full").build()
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = [p for p in model.parameters() if not p.requires_grad]
    assert (trained, sum(p.numel() for p in frozen)) == (44_564_480, 68_976_648_192)
    assert {p.dtype for p in frozen} == {torch.bfloat16}
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_the_log_of_full_is_valid_closed(tmp_path: Path) -> None:
    plan = Plan(
        benchmark="llama2_70b_lora", preset="full", overrides={}, seeds=[1], system="s", submitter="T"
    )
    log = stand_in.race(lora("full"), plan, tmp_path, loss=1.0)
    assert official_messages(log) == set()
    run = Run.from_events(read_events(log))
    assert (run.division, run.status) == ("closed", "success")
    # At batch 8 three evaluations are skipped.
    assert [evaluation.samples for evaluation in run.evaluations][:2] == [1536, 1920]


@pytest.mark.parametrize("batch", [1, 8, 64, 384])
def test_evaluations_are_skipped_as_the_suite_says(batch: int) -> None:
    raced = suite.benchmark("llama2_70b_lora")
    assert lora("full", global_batch_size=batch).settings.rules(raced) == raced
    skipped = int(0.125 * batch + 2)
    assert raced.evaluation.first(batch) == (skipped + 1) * raced.evaluation.interval(batch)


def test_a_packed_document_does_not_see_its_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = lora(**SMALL, precision="fp32")
    model = built(benchmark).eval()
    batch = benchmark.warmup_batch(2)
    benchmark.verify(model, batch)
    monkeypatch.setattr(model, "_boundaries", False)
    with pytest.raises(PitboardError, match="another document"):
        benchmark.verify(model, batch)


def test_only_adapters_are_trained() -> None:
    benchmark = lora(**SMALL, precision="fp32")
    model = built(benchmark)
    base = {n: p.clone() for n, p in model.named_parameters() if "lora_" not in n}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    model(**benchmark.warmup_batch(2)).mean().backward()
    assert {n for n, p in model.named_parameters() if p.grad is None} == set(base)
    optimizer.step()
    assert all(torch.equal(p, base[n]) for n, p in model.named_parameters() if n in base)
    assert any(p.abs().max() > 0 for n, p in model.named_parameters() if "lora_B" in n)


def test_a_folder_without_a_model_is_one_sentence(tmp_path: Any) -> None:
    with pytest.raises(PitboardError, match="holds no readable model"):
        SafetensorsFolder(tmp_path)
