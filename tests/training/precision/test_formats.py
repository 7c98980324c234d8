"""The four-bit formats against the tables and rules of their specifications, and against torchao."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchao.prototype.mx_formats.mx_tensor import to_dtype, to_mx
from torchao.prototype.mx_formats.nvfp4_tensor import NVFP4Tensor, per_tensor_amax_to_scale

from pitboard.training.precision.formats import Scaled, mx_scale, mxfp4, nvfp4, nvfp4_block_scale, to_e2m1
from pitboard.training.precision.hadamard import random_signs, rotate

# OCP MX v1.0, table 5: every non-negative E2M1 number, by its code; odd codes have an odd mantissa.
E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
# No smaller ones than this: below 2^-124 torchao's scales are subnormal numbers, and ours stay normal.
FINITE = st.floats(-1e4, 1e4, width=32).map(lambda number: number if abs(number) > 2.0**-100 else 0.0)


def numbers(rounded: Scaled) -> Tensor:
    return rounded.values.float() * rounded.scale


def nearest(x: float) -> float:
    """The specification's rounding, by search in the table: to nearest, ties to the even code."""
    distances = (E2M1 - abs(x)).abs().tolist()
    code = min(range(8), key=lambda code: (distances[code], code % 2))
    return float(E2M1[code]) * (-1 if x < 0 else 1)


@given(st.floats(-8, 8, width=32, allow_subnormal=False))
def test_e2m1_rounds_to_the_nearest_of_its_table(x: float) -> None:
    assert to_e2m1(torch.tensor([x])).item() == nearest(x)


@pytest.mark.parametrize(
    ("tie", "even"), [(0.25, 0), (0.75, 1), (1.25, 1), (1.75, 2), (2.5, 2), (3.5, 4), (5, 4)]
)
def test_e2m1_ties_go_to_the_even_mantissa(tie: float, even: float) -> None:
    assert to_e2m1(torch.tensor([tie, -tie])).tolist() == [even, -even]


@given(st.floats(-6, 6, width=32, allow_subnormal=False))
def test_stochastic_rounding_goes_to_a_neighbour(x: float) -> None:
    rounded = to_e2m1(torch.full((32,), x), stochastic=True).abs()
    below, above = E2M1[abs(x) >= E2M1].max(), E2M1[abs(x) <= E2M1].min()
    assert set(rounded.tolist()) <= {below.item(), above.item()}


def test_stochastic_rounding_is_unbiased() -> None:
    torch.manual_seed(0)
    draws = 20_000
    x = torch.tensor([0.1, 0.6, 1.9, 2.3, -3.9, 5.5])
    mean = to_e2m1(x.expand(draws, -1), stochastic=True).mean(0)
    # The deviation of a draw is at most half a step, here at most 1: five deviations of the mean.
    torch.testing.assert_close(mean, x, rtol=0, atol=5 / draws**0.5)


@given(st.floats(2.0**-100, 2.0**100, width=32))
def test_the_shared_scale_puts_the_largest_in_the_elements_last_binade(largest: float) -> None:
    scale = mx_scale(torch.tensor([largest])).item()
    assert torch.frexp(torch.tensor(scale))[0] == 0.5
    assert 4 <= largest / scale < 8


def test_the_shared_scale_stays_within_e8m0_and_normal_numbers() -> None:
    assert mx_scale(torch.tensor([0.0, 2.0**-126, 2.0**127])).tolist() == [2.0**-126, 2.0**-126, 2.0**125]


@pytest.fixture
def flushing() -> Iterator[None]:
    """As in training on the CPU (`training.device.tune_cpu`), where subnormal numbers count as zero."""
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


@pytest.mark.usefixtures("flushing")
@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("rounding", [mxfp4, nvfp4])
def test_zeros_and_the_smallest_and_largest_numbers_stay_finite(
    rounding: Callable[..., Scaled], stochastic: bool
) -> None:
    for size in (0.0, 1e-44, 1e-38, 1e-33, 1.0, 1e38):
        x = torch.zeros(16, 64)
        x[0, :3] = size
        rounded = numbers(rounding(x, stochastic=stochastic))
        assert (rounded[:, 3:] == 0).all()
        # Six is the largest element, and the one above two thirds of a step's way to it.
        assert (rounded[0, :3] - size).abs().max() <= max(size * 0.34, 1e-30)


@pytest.mark.parametrize("rounding", [mxfp4, nvfp4])
@pytest.mark.parametrize("broken", [float("inf"), float("nan")])
def test_what_is_not_finite_is_not_hidden(rounding: Callable[..., Scaled], broken: float) -> None:
    x = torch.ones(16, 64)
    x[2, 5] = broken
    assert numbers(rounding(x))[2, 5].isnan()


@given(st.lists(FINITE, min_size=64, max_size=64))
def test_mxfp4_is_torchaos(values: list[float]) -> None:
    x = torch.tensor(values).view(1, 64)
    scale, packed = to_mx(x, torch.float4_e2m1fn_x2, 32)
    theirs = to_dtype(packed, scale, torch.float4_e2m1fn_x2, 32, torch.float32)
    torch.testing.assert_close(numbers(mxfp4(x)), theirs, rtol=0, atol=0)


@given(st.lists(FINITE, min_size=64, max_size=64))
def test_nvfp4_is_torchaos(values: list[float]) -> None:
    x = torch.tensor(values).view(2, 32)
    # The scale of smaller numbers is subnormal: torchao then makes other numbers of zeros.
    x = torch.where(x.abs() < 1e-30, 0.0, x)
    x[0, 0] += 1.0 if not x.any() else 0.0
    theirs = NVFP4Tensor.to_nvfp4(x, per_tensor_scale=per_tensor_amax_to_scale(x.abs().amax()))
    # The order of two divisions differs, so a number within a rounding of a tie may go to the other side.
    same = torch.isclose(numbers(nvfp4(x)), theirs.dequantize(torch.float32), rtol=1e-5, atol=0)
    assert same.float().mean() > 0.95


def test_the_blocks_of_nvfp4_are_sixteen_with_e4m3_scales_under_one_fp32_scale() -> None:
    x = torch.zeros(1, 32)
    x[0, 3], x[0, 20] = 448 * 6.0, 1.0
    rounded = nvfp4(x)
    assert rounded.scale == 1.0
    # 1/6 is no E4M3 number; the nearest is 0.171875, of which 1.0 is 5.8 and rounds to 6.
    assert rounded.values[0, 3] == 448 * 6
    assert rounded.values[0, 20] == 0.171875 * 6
    assert nvfp4_block_scale(torch.tensor([1e-9, 6.0, 1e9])).tolist() == [2.0**-9, 1.0, 448.0]


def test_square_blocks_are_the_same_read_along_either_dimension() -> None:
    x = torch.randn(48, 32)
    torch.testing.assert_close(
        numbers(nvfp4(x, square=True)).t(), numbers(nvfp4(x.t(), square=True)), rtol=0, atol=0
    )


@pytest.mark.parametrize(("rounding", "block"), [(mxfp4, 32), (nvfp4, 16)])
def test_stochastic_blocks_are_unbiased(rounding: Callable[..., Scaled], block: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 64)
    mean = torch.stack([numbers(rounding(x, stochastic=True)) for _ in range(4000)]).mean(0)
    error = ((mean - x).abs() / x.abs().max()).reshape(4, -1, block)
    if rounding is nvfp4:
        # NVFP4's block scale is rounded too: where that went down, the block's largest saturates.
        size = x.abs().reshape(4, -1, block)
        error = error[size < size.amax(-1, keepdim=True) * 16 / 17]
    assert error.max() < 0.01


def test_the_hadamard_transform_is_orthogonal() -> None:
    signs = random_signs(16, torch.device("cpu"))
    matrix = rotate(torch.eye(16), signs)
    torch.testing.assert_close(matrix @ matrix.t(), torch.eye(16))
    torch.testing.assert_close(matrix.abs(), torch.full((16, 16), 0.25))


def test_rotating_both_factors_leaves_their_product() -> None:
    a, b = torch.randn(5, 64), torch.randn(7, 64)
    signs = random_signs(32, torch.device("cpu"))
    torch.testing.assert_close(rotate(a, signs) @ rotate(b, signs).t(), a @ b.t(), rtol=1e-4, atol=1e-4)


def test_an_outlier_is_spread_over_its_block() -> None:
    x = torch.zeros(1, 16)
    x[0, 5] = 8.0
    assert rotate(x, random_signs(16, torch.device("cpu"))).abs().tolist() == [[2.0] * 16]
