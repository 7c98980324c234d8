"""FP32 products by oneDNN are the products that PyTorch computes itself, but for rounding."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pitboard.training.precision import onednn


class Products:
    """What oneDNN computes, when it is the faster."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.computed: list[str] = []
        self._product, self._patch = onednn._product, patch
        patch.setattr(onednn, "_product", self._noted)

    def gain(self, times: float) -> None:
        """Let oneDNN be so many times as fast as PyTorch's own choice."""
        self._patch.setattr(onednn, "measured_gains", lambda: onednn.Gains(times, times))
        onednn.use_onednn()

    def _noted(self, left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
        self.computed.append("x".join(map(str, (*left.shape, right.shape[1]))))
        return self._product(left, right, bias)


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> Products:
    """The kernels stay in this process; once the measurement is the true one again they do what it says."""
    return Products(monkeypatch)


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


A, B, BIAS = _random(300, 200), _random(200, 136), _random(136)
MANY, MORE, SUM = _random(3, 300, 64), _random(3, 64, 300), _random(3, 400, 300)
TRANSPOSED_A, TRANSPOSED_B = A.t().contiguous().t(), B.t().contiguous().t()

PRODUCTS: dict[str, tuple[int, Callable[[], Tensor]]] = {
    "mm": (1, lambda: A @ B),
    "left transposed": (1, lambda: TRANSPOSED_A @ B),
    "right transposed": (1, lambda: A @ TRANSPOSED_B),
    "left a part of rows": (1, lambda: A[:, 3:190] @ B[3:190]),
    "right a part of rows": (1, lambda: A @ B[:, 5:]),
    "left one row many times": (1, lambda: A[:1].expand(300, 200) @ B),
    "right one column many times": (1, lambda: A @ B[:, :1].expand(200, 136)),
    "mm into": (1, lambda: torch.mm(A, B, out=torch.empty(300, 136))),
    "mm into what lies transposed": (1, lambda: torch.mm(A, B, out=torch.empty(136, 300).t())),
    "bias": (1, lambda: torch.addmm(BIAS, A, B)),
    "bias into": (1, lambda: torch.addmm(BIAS, A, B, out=torch.empty(300, 136))),
    "bias that lies apart": (1, lambda: torch.addmm(torch.stack([BIAS, BIAS], 1)[:, 0], A, B)),
    "batch": (3, lambda: MANY @ MORE),
    "batch into a part": (3, lambda: torch.bmm(MANY, MORE, out=SUM.clone()[:, :300])),
    "batch added": (3, lambda: SUM.clone()[:, :300].baddbmm_(MANY, MORE)),
    "batch in place of": (3, lambda: SUM.clone()[:, :300].baddbmm_(MANY, MORE, beta=0)),
    # What oneDNN cannot do, or is not worth asking for.
    "scaled": (0, lambda: torch.addmm(BIAS, A, B, beta=0.5, alpha=2.0)),
    "matrix added": (0, lambda: torch.addmm(_random(300, 136), A, B)),
    "batch scaled": (0, lambda: SUM.clone()[:, :300].baddbmm_(MANY, MORE, alpha=2.0)),
    "small": (0, lambda: A[:30, :30] @ B[:30]),
    "narrow": (0, lambda: A.repeat(40, 1) @ B[:, :16]),
    "double": (0, lambda: A.double() @ B.double()),
    "bf16": (0, lambda: A.bfloat16() @ B.bfloat16()),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_the_same_within_rounding(name: str, products: Products) -> None:
    count, compute = PRODUCTS[name]
    products.gain(1.0)
    expected = compute()
    assert products.computed == []
    products.gain(2.0)
    found = compute()
    assert len(products.computed) == count
    assert found.stride() == expected.stride()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_gradients_of_a_layer_are_the_same_within_rounding(products: Products) -> None:
    layer, x = nn.Linear(200, 136), A.clone().requires_grad_()

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])

    products.gain(1.0)
    expected = gradients()
    products.gain(2.0)
    found = gradients()
    assert sorted(products.computed) == ["136x300x200", "300x136x200", "300x200x136"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_a_small_gain_is_left_since_another_process_might_measure_none(products: Products) -> None:
    products.gain(2.0)
    products.gain(1.2)
    for left, right in ((A, B), (TRANSPOSED_A, B), (MANY, MORE)):
        torch.matmul(left, right)
    assert products.computed == []


def test_the_measurement_leaves_the_threads_alone() -> None:
    threads = torch.get_num_threads()
    onednn.measured_gains.cache_clear()
    gains = onednn.measured_gains()
    assert gains.plain > 0
    assert gains.transposed > 0
    assert torch.get_num_threads() == threads
