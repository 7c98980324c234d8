"""Which layers a precision converts, and that its products and gradients are those of the layer."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pitboard.errors import PitboardError
from pitboard.training.precision import convert, emulated, products
from pitboard.training.precision.linear import LowPrecisionLinear, mxfp4_product, nvfp4_product
from pitboard.training.protocol import benchmark_class
from pitboard.training.runner import settings_for
from pitboard.training.settings import Settings
from stand_in import Products

CPU = torch.device("cpu")
NARROW = ("fp8", "mxfp8", "nvfp4", "mxfp4")


class Spread(Settings):
    """Settings of a benchmark whose layers can be split."""

    spread_by = frozenset({"tensor_parallel"})


def settings(precision: str, **values: object) -> Settings:
    base = {
        "preset": "p",
        "global_batch_size": 8,
        "max_steps": 9,
    }
    return Spread.build(base, {"precision": precision, **values})


def blocks(count: int) -> list[nn.Module]:
    return [nn.Sequential(nn.Linear(64, 96, bias=False), nn.Linear(96, 48)) for _ in range(count)]


def converted(blocks: list[nn.Module]) -> list[list[bool]]:
    return [[type(layer) is not nn.Linear for layer in block.children()] for block in blocks]


@pytest.mark.parametrize("precision", ["fp8", "mxfp8", "mxfp4"])
def test_every_blocks_layers_of_whole_blocks_are_converted(precision: str) -> None:
    some = blocks(3)
    count = convert(some, settings(precision), CPU)
    assert converted(some) == [[True, False]] * 3
    assert (count.low_precision, count.linears) == (3, 6)


@pytest.mark.parametrize(("count", "first", "last"), [(4, 0, 1), (32, 1, 4), (62, 2, 8)])
def test_nvfp4_keeps_the_first_and_last_blocks_in_bf16(count: int, first: int, last: int) -> None:
    some = blocks(count)
    convert(some, settings("nvfp4"), CPU)
    kept = [not row[0] for row in converted(some)]
    assert kept == [True] * first + [False] * (count - first - last) + [True] * last


@pytest.mark.parametrize(
    ("name", "wide"),
    [
        ("flux1", {"norm1.linear", "norm1_context.linear", "norm.linear"}),
        (
            "llama2_70b_lora",
            {f"self_attn.{part}.lora_{side}.default" for part in ("qkv_proj", "o_proj") for side in "AB"},
        ),
    ],
)
def test_what_a_benchmark_keeps_wide_is_not_converted(name: str, wide: set[str]) -> None:
    # Of rank 32 the adapters would fit the formats.
    rank = {"lora_rank": 32} if "lora" in name else {}
    benchmark = benchmark_class(name)(settings_for(name, "smoke", {"precision": "mxfp8", **rank}))
    with torch.device("meta"):
        some = benchmark.blocks(benchmark.build())
    convert(some, benchmark.settings, CPU, benchmark.keep_bf16)
    linears = {
        (path, type(layer)) for b in some for path, layer in b.named_modules() if isinstance(layer, nn.Linear)
    }
    assert {path for path, kind in linears if kind is nn.Linear} == wide
    assert {kind for path, kind in linears if path not in wide} == {LowPrecisionLinear}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_wide_precisions_convert_nothing(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "time_products", lambda: products.ProductTimes(fp32=2.0, bf16=1.0))
    some = blocks(2)
    assert convert(some, settings(precision), CPU).low_precision == 0
    assert not any(map(any, converted(some)))
    assert not emulated(precision, CPU)


def test_parameters_keep_their_names_and_identity() -> None:
    (block,) = some = blocks(1)
    before = dict(block.named_parameters())
    convert(some, settings("mxfp8"), CPU)
    after = dict(block.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    assert before.keys() == after.keys()


def test_a_model_without_a_fitting_layer_is_refused() -> None:
    with pytest.raises(PitboardError, match="multiples of 32"):
        convert([nn.Linear(5, 5)], settings("mxfp8"), CPU)


def test_tensor_parallel_layers_are_refused() -> None:
    with pytest.raises(PitboardError, match="tensor_parallel 2 would split"):
        settings("nvfp4", tensor_parallel=2)


def run(layer: nn.Module, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x = x.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.backward(dy.to(y.dtype))
    assert x.grad is not None
    assert isinstance(layer.weight, Tensor)
    assert layer.weight.grad is not None
    return y.detach().float(), x.grad.float(), layer.weight.grad.float()


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


# Rounding noise of a normal tensor, both factors: E4M3 has 3 bits of mantissa, E2M1 has 1.
NOISE = {"fp8": 0.06, "mxfp8": 0.06, "nvfp4": 0.2, "mxfp4": 0.3}


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("tokens", [64, 40])
def test_products_and_gradients_are_the_layers_within_the_formats_noise(precision: str, tokens: int) -> None:
    torch.manual_seed(0)
    exact = nn.Linear(64, 96, bias=False)
    x, dy = torch.randn(2, tokens // 2, 64), torch.randn(2, tokens // 2, 96)
    wanted = run(exact, x, dy)
    some = [nn.Sequential(exact), nn.Sequential(nn.Linear(5, 5))]
    convert(some, settings(precision), CPU)
    got = run(some[0][0], x, dy)
    errors = [distance(a, b) for a, b in zip(got, wanted, strict=True)]
    assert max(errors) < NOISE[precision]
    # And it is the format that computed: not one of the products is BF16's, but MXFP4's forward one.
    assert (errors[0] < 0.001) == (precision == "mxfp4")
    assert min(errors[1:]) > 0.01


@pytest.mark.parametrize("product", [nvfp4_product, mxfp4_product])
def test_gradients_are_unbiased_where_the_recipe_says_so(product: object) -> None:
    torch.manual_seed(0)
    exact = nn.Linear(64, 96, bias=False)
    layer = LowPrecisionLinear(exact, product)  # type: ignore[arg-type]
    x, dy = torch.randn(64, 64), torch.randn(64, 96)
    draws = [run(layer, x, dy) for _ in range(400)]
    wanted = run(exact, x, dy)
    one = distance(draws[0][2], wanted[2])
    mean = distance(torch.stack([d[2] for d in draws]).mean(0), wanted[2])
    # Rotation with fresh signs makes the error of rounding to nearest average out as well.
    assert mean < one / 8


SCALINGS = ("tensorwise", "rowwise")


@pytest.mark.parametrize(
    ("precision", "changes"),
    [*(("fp8", {"fp8_scaling": each}) for each in SCALINGS), *((each, {}) for each in NARROW[1:])],
)
def test_a_frozen_weight_takes_no_product_and_passes_the_same_gradient_on(
    precision: str, changes: dict[str, str]
) -> None:
    torch.manual_seed(0)
    exact, x, dy = nn.Linear(64, 96, bias=False), torch.randn(40, 64), torch.randn(40, 96).bfloat16()
    some = [nn.Sequential(exact), nn.Sequential(nn.Linear(5, 5))]
    convert(some, settings(precision, **changes), CPU)
    layer = some[0][0]
    assert isinstance(layer, nn.Linear)
    found = []
    for trained in (True, False):
        layer.weight.requires_grad_(trained)
        given = x.clone().requires_grad_()
        torch.manual_seed(1)  # of what is rounded stochastically
        with Products() as products_taken:
            layer(given).backward(dy)
        assert given.grad is not None
        found.append((products_taken.count, given.grad))
        assert (layer.weight.grad is not None) is trained
        layer.weight.grad = None
    (with_it, expected), (without, gradient) = found
    # A rotation is a product too, in the formats of four bits.
    assert without < with_it if precision in ("nvfp4", "mxfp4") else (with_it, without) == (3, 2)
    assert torch.equal(gradient, expected)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp8", "mxfp8"])
def test_compiled_code_computes_no_gradient_of_a_frozen_weight(precision: str) -> None:
    from torch._dynamo.backends.common import aot_autograd

    def products_of(trained: bool) -> int:
        count = 0

        def counted(graph: Any, _inputs: Any) -> Any:
            nonlocal count
            count += sum(node.target is torch.ops.aten.mm.default for node in graph.graph.nodes)
            return graph.forward

        some = [nn.Sequential(nn.Linear(64, 96, bias=False)), nn.Sequential(nn.Linear(5, 5))]
        convert(some, settings(precision), CPU)
        some[0][0].weight.requires_grad_(trained)
        compiled = torch.compile(some[0], backend=aot_autograd(fw_compiler=counted), fullgraph=True)
        compiled(torch.randn(64, 64, requires_grad=True)).sum().backward()
        return count

    assert (products_of(True), products_of(False)) == (3, 2)
