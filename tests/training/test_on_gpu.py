"""What the code does differently on a GPU, as far as a stand-in for `torch.cuda` can tell.

`test_fake_gpu.py` trains on one that has no data; here is what happens around a step.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils import _triton

from pitboard.errors import PitboardError
from pitboard.training import device, distributed, loading, system
from pitboard.training.checkpoint import Checkpoints, TrainingProgress
from pitboard.training.distributed import World
from pitboard.training.host import Host
from pitboard.training.precision import products, recipes
from pitboard.training.precision.linear import LowPrecisionLinear
from pitboard.training.roll_call import RollCall
from pitboard.training.runner import settings_for

GPU = torch.device("cuda", 1)
WORLD = World(0, 1, GPU, None, 0, 1, 1)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Let this machine have two H100; return what was asked of them."""
    asked: list[tuple[str, Any]] = []

    def answer(name: str, value: object) -> None:
        def asking(*given: object) -> object:
            asked.append((name, given))
            return value

        monkeypatch.setattr(torch.cuda, name, asking)

    answer("is_available", True)
    answer("device_count", 2)
    answer("get_device_name", "NVIDIA H100 80GB HBM3")
    answer("get_device_capability", (9, 0))
    answer("max_memory_allocated", 7)
    for name in ("synchronize", "set_device"):
        answer(name, None)
    monkeypatch.setattr(torch.version, "hip", None)
    return asked


def test_a_rank_has_the_gpu_of_its_number(cuda: list[tuple[str, Any]]) -> None:
    assert device.choose_device("auto", 1) == device.choose_device("cuda", 1) == GPU
    assert device.choose_device("cpu", 0).type == "cpu"
    with pytest.raises(PitboardError, match="Local rank 2 has no GPU: this node shows 2"):
        device.choose_device("auto", 2)
    assert device.device_name(GPU) == "NVIDIA H100 80GB HBM3"
    assert device.peak_memory_bytes(GPU) == 7
    device.synchronize(GPU)
    assert cuda[-1] == ("synchronize", (GPU,))


@pytest.mark.parametrize("triton", [True, False])
def test_a_gpu_compiles_where_there_is_triton(triton: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_triton, "has_triton", lambda: triton)
    assert device.can_compile(GPU) is triton


@pytest.mark.parametrize(
    ("name", "bf16", "fp8"),
    [
        ("NVIDIA A100-SXM4-80GB", 312.0, None),
        ("NVIDIA H100 80GB HBM3", 989.4, 1978.9),
        ("NVIDIA H100 PCIe", 756.0, 1513.0),
        ("NVIDIA H100 NVL", 835.5, 1671.0),
        ("NVIDIA H200", 989.4, 1978.9),
        ("NVIDIA H200 NVL", 835.5, 1671.0),
        ("NVIDIA GH200 480GB", 989.4, 1978.9),
        ("NVIDIA B200", 2250.0, 4500.0),
        ("NVIDIA GB200", 2500.0, 5000.0),
        ("NVIDIA B300 SXM6 AC", 2250.0, 4500.0),
        ("NVIDIA GB300", 2500.0, 5000.0),
        ("AMD Instinct MI300X", 1307.4, 2614.9),
        ("AMD Instinct MI355X", 2516.6, 5033.2),
        ("Tesla T4", None, None),
    ],
)
def test_published_peaks_are_of_the_device_that_is_named(
    name: str, bf16: float | None, fp8: float | None
) -> None:
    found = [device.published_peak_tflops(name, kind) for kind in ("bf16", "fp8", "mxfp8", "nvfp4")]
    assert found == [bf16, fp8, fp8, None]


def test_ranks_on_gpus_speak_nccl_and_those_beside_them_gloo(
    cuda: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    begun: list[str] = []
    groups: list[dict[str, str]] = []
    monkeypatch.setattr(distributed, "_store", lambda *_: None)
    for name, given in {"__init__": None, "arrive": ["n1", "n1"], "start": None}.items():
        monkeypatch.setattr(RollCall, name, lambda *_, given=given: given)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "is_initialized", lambda: False)
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **_: begun.append(backend))
    monkeypatch.setattr(dist, "new_group", lambda backend, **_: groups.append({"backend": backend}))
    monkeypatch.setattr(distributed, "init_device_mesh", lambda kind, shape, **_: (kind, shape))
    world = distributed.join_world(settings_for("llama31_8b", "smoke", {}))
    mesh: Any = world.mesh
    assert (world.rank, world.device, mesh) == (1, GPU, ("cuda", (1, 2, 1)))
    assert begun == ["cpu:gloo,cuda:nccl"]
    assert groups == [{"backend": "gloo"}] * 2
    assert ("set_device", (GPU,)) in cuda


def test_batches_for_a_gpu_are_read_ahead_into_pinned_memory() -> None:
    settings = settings_for("llama31_8b", "smoke", {})
    loaders = [
        loading._read_ahead([], settings, World(0, 1, where, None, 0, 1, 1), lambda samples: samples[0], [])  # type: ignore[arg-type]
        for where in (GPU, torch.device("cpu"))
    ]
    assert [(each.num_workers, each.pin_memory) for each in loaders] == [(2, True), (0, False)]


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_checkpoint_holds_the_gpus_generator_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[list[int], torch.device]] = []
    state = torch.arange(16, dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _: state)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda s, where: drawn.append((s.tolist(), where)))
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    kept = Checkpoints(tmp_path, WORLD)
    kept.save(model, [optimizer], TrainingProgress(3, 12))
    kept.wait()
    before = torch.get_rng_state()
    torch.manual_seed(5)
    assert kept.restore(model, [optimizer]) == TrainingProgress(3, 12)
    assert torch.equal(torch.get_rng_state(), before)
    assert drawn == [(list(range(16)), GPU)]


@pytest.mark.parametrize(
    ("capability", "native", "cost"),
    [((8, 0), True, None), ((7, 5), False, "this GPU has no BF16 arithmetic; expect it to be slow")],
)
def test_bf16_on_a_gpu_is_looked_up_and_never_emulated(
    capability: tuple[int, int],
    native: bool,
    cost: str | None,
    cuda: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    # The processor is not measured for it.
    monkeypatch.setattr(products, "time_products", None)
    assert products.bf16_is_native(GPU) is native
    assert products.cost_of_bf16(GPU) == cost
    products.prepare_products(GPU, "bf16")
    assert not recipes.emulated("bf16", GPU)


@pytest.mark.parametrize(
    ("architecture", "has"),
    [("gfx90a:sramecc+", ["bf16"]), ("gfx942:sramecc+", ["bf16", "fp8"]), ("gfx950", ["bf16", "fp8"])],
)
def test_amds_gpus_are_told_by_their_architecture(
    architecture: str, has: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "hip", "7.1")
    gpu = SimpleNamespace(gcnArchName=architecture)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    known = ("bf16", "fp8", "mxfp8", "nvfp4", "mxfp4")
    assert [name for name in known if products.gpu_has(name, GPU)] == has


@pytest.mark.parametrize(("capability", "kernels"), [((9, 0), "EMULATED"), ((10, 0), "AUTO")])
def test_mxfp8s_kernels_are_for_the_gpus_that_have_its_arithmetic(
    capability: tuple[int, int], kernels: str, cuda: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchao.prototype.moe_training import mxfp8_linear

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    taken: list[str] = []

    def multiply(x: Tensor, weight: Tensor, *, kernel_preference: Any, **_: object) -> Tensor:
        taken.append(kernel_preference.name)
        return x @ weight.t()

    monkeypatch.setattr(mxfp8_linear, "_to_mxfp8_then_scaled_mm", multiply)
    settings = settings_for("llama31_8b", "smoke", {"precision": "mxfp8"})
    layer = recipes._changer(settings, GPU)(nn.Linear(32, 32, bias=False))
    assert isinstance(layer, LowPrecisionLinear)
    layer(torch.zeros(4, 32))
    assert taken == [kernels]


def test_the_description_tells_the_stack_of_the_gpus_maker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, line in {
        "proc/driver/nvidia/version": "NVRM 580.95",
        "sys/module/amdgpu/version": "6.14",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(f"{line}\n")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91200)
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 28, 3))
    stack = system._software(Host(tmp_path))
    names = ("cuda_version", "cuda_driver_version", "cudnn_version", "nccl_version")
    assert [stack[name] for name in names] == ["13.0", "NVRM 580.95", "91200", "2.28.3"]
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", "7.1")
    stack = system._software(Host(tmp_path))
    amd = ("rocm_version", "amdgpu_driver_version", "rccl_version")
    assert [stack[name] for name in amd] == ["7.1", "6.14", "2.28.3"]
    assert "cuda_version" not in stack
