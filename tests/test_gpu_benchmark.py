"""`benchmarks/gpu.py`: what it does with its time and what fails, its arithmetic, and a trial on the CPU."""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import gpu
from gpu import OURS, PLAIN, Budget, Part, Row
from pitboard.training.device import published_peak_tflops
from pitboard.training.protocol import benchmark_class
from pitboard.training.runner import settings_for
from support import Python

BF16 = Part("layers", "llama31_8b", "bf16")
FACTS = {"device": "NVIDIA H100 80GB HBM3", "memory": "80 GiB", "commit": "0123456789ab"}
ARGUMENTS = argparse.Namespace(device="cpu", seconds=0.0)


def test_the_time_is_divided_over_the_parts_and_what_does_not_fit_is_not_started() -> None:
    now = [0.0]
    budget = Budget(540, lambda: now[0])
    assert budget.limit(9) == 120
    assert budget.limit(1) == 540
    now[0] = 440
    assert budget.limit(9) == 25  # never less than a part needs to begin
    assert budget.limit(2) == 100
    now[0] = 520
    assert budget.limit(1) is None


def test_parts_for_which_there_is_no_time_are_rows(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    gpu.main(["--device", "cpu", "--minutes", "0", "--output", str(page), "--only", "flux1"])
    text = page.read_text()
    assert "## CPU (" in text
    assert "a trial of the script, not a measurement" in text
    assert text.count("left out: the 0 minutes were over") == 6  # BF16, FP8, smoke, tensorwise, MXFP8, NVFP4
    assert "| flux1 | fp8 tensorwise |" in text


def test_a_word_after_the_precision_is_its_scaling() -> None:
    scalings = {word: gpu.settings_of("llama31_8b", word, "cpu", 1) for word in ("fp8", "fp8 tensorwise")}
    assert {each.precision for each in scalings.values()} == {"fp8"}
    assert [each.fp8_scaling for each in scalings.values()] == ["rowwise", "tensorwise"]


def test_what_fails_is_a_row_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def layers(part: Part, loop: str, device: str, seconds: float) -> Row:
        if loop == PLAIN:
            return Row(part.kind, part.benchmark, part.precision, loop, rate=1.0)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    monkeypatch.setattr(gpu, "layers_row", layers)
    ours, plain = gpu.measured(BF16, "cuda", 0.0)
    assert (ours.loop, ours.rate, ours.note) == (
        OURS,
        None,
        "out of memory: OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
    )
    assert (plain.rate, plain.note) == (1.0, "")


@pytest.mark.parametrize(
    ("ending", "limit", "why"),
    [
        ("raise SystemExit('a kernel | refused')", 60.0, "ended with 1: a kernel | refused"),
        ("import time; time.sleep(600)", 0.0, "ended at its limit of 0 s"),
    ],
)
def test_a_process_that_ends_early_keeps_what_it_measured(
    ending: str, limit: float, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row("layers", "llama31_8b", "bf16", OURS, rate=2.5, top=[("gemm", 0.5, 4)])
    script = tmp_path / "part.py"
    half = json.dumps(asdict(row))
    script.write_text(f"print('@row' + {half!r}); print('@row{{', end='', flush=True)\n{ending}\n")
    monkeypatch.setattr(gpu, "__file__", str(script))
    *measured, last = gpu.in_own_process(BF16, ARGUMENTS, limit)
    assert last.note == f"the rest of llama31_8b bf16 {why}"
    if limit:
        assert [replace(each, top=[]) for each in measured] == [replace(row, top=[])]
        assert "a kernel \\| refused" in gpu.section(FACTS, [*measured, last])


def test_without_a_gpu_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    page = tmp_path / "gpu.md"
    with pytest.raises(SystemExit) as ended:
        gpu.main(["--output", str(page)])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "No GPU that PyTorch can use was found, so nothing was measured and nothing written.\n"
    )
    assert not page.exists()


def test_utilisation_is_that_of_a_published_rate() -> None:
    """Llama 3.1 8B has 8,030,261,248 parameters, of which the embedding's 525,336,576 are only looked up."""
    full = benchmark_class("llama31_8b")(settings_for("llama31_8b", "full", {}))
    per_token = 6 * (8_030_261_248 - 525_336_576) + 12 * 32 * 4096 * 8192
    assert full.flops_per_sample() / 8192 == pytest.approx(per_token, rel=1e-4)
    # torchtitan's documentation: 5,762 tokens/s on each of eight H100.
    peak = published_peak_tflops("NVIDIA H100 80GB HBM3")
    used = gpu.utilisation(5762 / 8192, full.flops_per_sample(), peak)
    assert used == pytest.approx(5762 * per_token / 989.4e12, rel=1e-3)
    assert gpu.utilisation(1.0, 1.0, None) is None


def test_as_many_layers_as_the_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu.layers_in(100, one=30, two=40, whole=32) == 6
    assert gpu.layers_in(10, one=30, two=40, whole=32) == 1
    assert gpu.layers_in(10_000, one=30, two=40, whole=32) == 32
    fits = {}
    for memory in (80, 141):
        device = SimpleNamespace(total_memory=memory * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, device=device: device)
        fits[memory] = [gpu.layers_that_fit(name, "bf16", "cuda") for name in gpu._FULL]
    assert all(1 < small < large for small, large in zip(fits[80], fits[141], strict=True))
    # Its training state alone: a billion parameters of the embeddings and 218 million a layer, 16 bytes each.
    assert fits[80][0] < 80 * 2**30 / 16 / 218_112_000 - 4


def test_a_page_keeps_what_stands_around_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    page.write_text((gpu.ROOT / "docs" / "gpu.md").read_text())
    before, _, after = page.read_text().partition("Nothing has been measured yet")
    rows = [
        Row("layers", "llama31_8b", "bf16", OURS, "7", "tokens/s", 7000.0, 0.41, 60 * 2**30),
        Row("layers", "llama31_8b", "bf16", PLAIN, "7", "tokens/s", 3500.0, 0.2, 60 * 2**30),
        Row("layers", "llama31_8b", "fp8", OURS, "7", "tokens/s", 10500.0, None, 60 * 2**30),
        Row("smoke", "flux1", "bf16", reached=True, samples=20480, seconds=12.34, quality=0.6612),
    ]
    for written in (rows[:1], rows):  # again, over what it wrote
        gpu.write_section(page, gpu.section(FACTS, written))
    text = page.read_text()
    assert text.startswith(before)
    assert text.endswith(after.partition("\n")[2])
    assert "Nothing has been measured" not in text
    for line in (
        "## NVIDIA H100 80GB HBM3",
        "| commit | 0123456789ab |",
        f"| llama31_8b | bf16 | {OURS} | 7 | 7,000 tokens/s | 2.00 | 1.00 | 41.0% | 60.0 GiB |  |",
        f"| llama31_8b | fp8 | {OURS} | 7 | 10,500 tokens/s | 3.00 | 1.50 |  | 60.0 GiB |  |",
        "No utilisation for fp8: no peak of this device is known to us.",
        "| flux1 | bf16 | yes | 20,480 | 12.3 | 0.6612 |  |",
    ):
        assert f"{line}\n" in text


@pytest.mark.slow
def test_all_of_it_runs_on_a_cpu_with_tiny_layers(python: Python, tmp_path: Path) -> None:
    page, benchmarks = tmp_path / "gpu.md", Path(gpu.__file__).parent
    words = ["gpu", "--device", "cpu", "--in-process", "--seconds", "0.01", "--precisions", "fp32"]
    words += ["--no-smoke", "--output", str(page)]
    smoke = 'print(*(row.__dict__ for row in gpu.measured(gpu.Part("smoke", "llama31_8b"), "cpu", 0)))'
    code = f"import sys; sys.path.insert(0, {str(benchmarks)!r}); sys.argv = {words!r}\n"
    # The plain loop's model compiled up to the graphs: their C++ takes a compiler most of this test's time.
    code += "import functools, torch; torch.compile = functools.partial(torch.compile, backend='aot_eager')\n"
    code += f"import gpu; gpu.main(); {smoke}"
    started = python("-c", code)
    said, errors = started.communicate(300)
    assert started.returncode == 0, errors
    assert "'samples': 16," in said
    assert "'note': ''" in said
    lines = [line for line in page.read_text().splitlines() if "samples/s" in line or "tokens/s" in line]
    assert len(lines) == 6, page.read_text()
    assert page.read_text().count("### What takes longest") == 3
