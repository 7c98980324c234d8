"""Precision `auto` follows what the device really does, and emulated BF16 products are right."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pitboard.events import read_events
from pitboard.training.output import Output, Plan
from pitboard.training.precision import products
from pitboard.training.precision.products import ProductTimes, bf16_is_native, choose_precision, cost_of_bf16
from pitboard.training.runner import execute
from stand_in import Noticing
from support import the_log, tiny

CPU = torch.device("cpu")
BF16 = torch.bfloat16


def pretend(patch: pytest.MonkeyPatch, slowdown: float) -> None:
    """Let this CPU take `slowdown` times as long for a BF16 product as for an FP32 one."""
    patch.setattr(products, "time_products", lambda: ProductTimes(fp32=1.0, bf16=slowdown))


@pytest.mark.parametrize(
    ("slowdown", "chosen", "reason", "native", "cost"),
    [
        (0.4, "bf16", "BF16 products are 2.5 × as fast as FP32's on this CPU", True, None),
        (1.6, "fp32", "BF16 products are 1.6 × slower than FP32's on this CPU", True, "fp32 would be faster"),
        (80.0, "fp32", "BF16 products are 80 × slower than FP32's on this CPU", False, "are emulated"),
    ],
)
def test_auto_is_what_the_cpu_is_fast_at(
    slowdown: float,
    chosen: str,
    reason: str,
    native: bool,
    cost: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, slowdown)
    assert choose_precision(CPU) == products.Choice(chosen, reason)  # type: ignore[arg-type]
    assert bf16_is_native(CPU) is native
    found = cost_of_bf16(CPU)
    assert (found is None) if cost is None else (found is not None and cost in found)


@pytest.mark.parametrize(("capability", "chosen"), [((9, 0), "bf16"), ((7, 5), "fp32")])
def test_auto_on_a_gpu_is_bf16_where_it_is_native(
    capability: tuple[int, int], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "A GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_precision(torch.device("cuda")).precision == chosen


def test_the_measurement_is_of_both_formats_and_leaves_the_threads_alone() -> None:
    threads = torch.get_num_threads()
    products.time_products.cache_clear()
    times = products.time_products()
    assert 0 < times.fp32 < 1
    assert 0 < times.bf16 < 10
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("asked", "slowdown", "precision", "emulated", "said"),
    [
        (None, 50.0, "fp32", False, "precision fp32: BF16 products are 50 × slower than FP32's on this CPU"),
        (None, 0.5, "bf16", False, "precision bf16: BF16 products are 2.0 × as fast as FP32's on this CPU"),
        ("bf16", 50.0, "bf16", True, "precision bf16 costs time: BF16 products are 50 × slower than FP32's"),
    ],
)
def test_a_run_says_and_logs_its_precision_and_why(
    asked: str | None,
    slowdown: float,
    precision: str,
    emulated: bool,
    said: str,
    emulation: None,
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    tmp_path: Path,
) -> None:
    pretend(monkeypatch, slowdown)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    words = [word.partition("=") for word in tiny("llama31_8b")[3::2]]
    overrides = {key: value for key, _, value in words} | ({"precision": asked} if asked else {})
    plan = Plan(
        benchmark="llama31_8b",
        preset="smoke",
        overrides=overrides | {"max_samples": "16"},
        seeds=[1],
        system="s",
        submitter="Test",
    )
    reporter = Noticing()
    execute(Output(tmp_path), plan, 0, reporter)
    logged = {event.key: event.value for event in read_events(the_log(tmp_path))}
    assert (logged["pitboard_precision"], logged["pitboard_emulated"]) == (precision, emulated)
    raced, told = reporter.said
    assert raced == "round 5.1, the newest that Pitboard can race"
    assert told.startswith(said)
    assert logged["pitboard_precision_reason"] == ("asked for" if asked else told.partition(": ")[2])


@pytest.fixture
def emulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let BF16 be slow, and take the emulation out of this process again where the CPU is fast at it."""
    pretend(monkeypatch, 50.0)
    yield
    monkeypatch.undo()
    if bf16_is_native(CPU) and products._emulate.cache_info().currsize:
        products._emulate()._destroy()  # type: ignore[no-untyped-call]
        products._emulate.cache_clear()


def test_emulated_products_are_exact_products_summed_in_fp32_and_rounded_once(emulation: None) -> None:
    torch.manual_seed(0)
    a, b, c = torch.randn(40, 48, dtype=BF16), torch.randn(48, 24, dtype=BF16), torch.randn(24, dtype=BF16)
    many, more = torch.randn(3, 8, 16, dtype=BF16), torch.randn(3, 16, 8, dtype=BF16)
    wide = [t.float() for t in (a, b, c, many, more)]
    wanted = [
        (wide[0] @ wide[1]).bfloat16(),
        (0.5 * wide[2] + 2 * (wide[0] @ wide[1])).bfloat16(),
        (wide[3] @ wide[4]).bfloat16(),
    ]
    products._emulate()
    got = [
        (a @ b, torch.addmm(c, a, b, beta=0.5, alpha=2), many @ more),
        (
            torch.mm(a, b, out=torch.empty(40, 24, dtype=BF16)),
            torch.addmm(c, a, b, beta=0.5, alpha=2, out=torch.empty(40, 24, dtype=BF16)),
            torch.bmm(many, more, out=torch.empty(3, 8, 8, dtype=BF16)),
        ),
    ]
    for results in got:
        for found, right in zip(results, wanted, strict=True):
            torch.testing.assert_close(found, right, rtol=2**-7, atol=1e-6)
    torch.testing.assert_close(wide[0] @ wide[1], torch.einsum("ij,jk->ik", wide[0], wide[1]))


def test_emulated_products_have_the_gradients_of_a_layer(emulation: None) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(48, 24), torch.randn(40, 48, requires_grad=True)
    wanted = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
    products._emulate()

    def gradients() -> tuple[Tensor, ...]:
        with torch.autocast("cpu", BF16):
            loss = layer(x).float().square().sum()
        return torch.autograd.grad(loss, [x, *layer.parameters()])

    for found, right in zip(gradients(), wanted, strict=True):
        assert float((found - right).norm() / right.norm()) < 0.01


@pytest.mark.parametrize("groups", [1, 4])
def test_emulated_convolutions_are_convolutions_in_fp32_rounded_once(groups: int, emulation: None) -> None:
    generator = torch.Generator().manual_seed(1)
    x, weight, bias = (
        torch.randn(*shape, generator=generator).bfloat16()
        for shape in ((2, 8, 6, 6), (12, 8 // groups, 3, 3), (12,))
    )

    def values(dtype: torch.dtype) -> list[torch.Tensor]:
        given = [each.to(dtype).requires_grad_() for each in (x, weight, bias)]
        found = torch.nn.functional.conv2d(given[0], *given[1:], stride=2, padding=1, groups=groups)  # type: ignore[call-overload]
        return [found, *torch.autograd.grad(found, given, torch.ones_like(found))]

    expected = [each.bfloat16() for each in values(torch.float32)]
    products._emulate()
    for found, wanted in zip(values(torch.bfloat16), expected, strict=True):
        assert found.dtype is torch.bfloat16
        assert torch.equal(found, wanted)


def test_the_gradient_of_a_convolution_over_one_place_holds_nothing_that_was_in_memory() -> None:
    products.prepare_products(CPU, "bf16")
    generator = torch.Generator().manual_seed(1)
    shapes = ((8, 48, 1, 1), (48, 48, 3, 3))
    x, weight = (torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)

    def gradients(dtype: torch.dtype) -> tuple[Tensor, ...]:
        maps = x.to(dtype, memory_format=torch.channels_last)
        found = torch.nn.functional.conv2d(maps, weight.to(dtype), stride=2, padding=1)
        return torch.autograd.grad(found.float().square().sum(), [x, weight])

    expected = gradients(torch.float32)
    for _ in range(10):
        # What a kernel finds where it has not written itself.
        left = [torch.full((size,), float("nan")) for size in range(16, 30_000, 600)]
        del left
        for found, right in zip(gradients(BF16), expected, strict=True):
            assert float((found - right).norm() / right.norm()) < 0.01
