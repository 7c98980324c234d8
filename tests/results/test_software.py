"""Software stacks as submitters write them, and the addresses of their code."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitboard.results.software import Software, described_precision, links, software


def stated(**description: object) -> list[tuple[str, str]]:
    return [(entry.key, entry.value) for entry in software(description)]


@pytest.mark.parametrize("wrap", [lambda stack: stack, lambda stack: [stack]])
def test_a_stack_as_an_object_or_a_list_of_one(wrap: Callable[[object], object]) -> None:
    stack = {"cuda_driver_version": "580.82.07 ", "nccl_version": "v2.28.3-1", "trt_version": "", "FooBar": 2}
    assert stated(other_software_stack=wrap(stack)) == [
        ("CUDA driver", "580.82.07"),
        ("NCCL", "2.28.3-1"),
        ("FooBar", "2"),
    ]


def test_a_stack_as_free_text() -> None:
    text = "hipblaslt-1.1.0.70000-crdcbr.91~22.04, Nemo 2.3.0, megatron_lm, TransformerEngine-d0ef413b"
    assert stated(other_software_stack=text) == [
        ("hipBLASLt", "1.1.0.70000-crdcbr.91~22.04"),
        ("NeMo", "2.3.0"),
        ("other software", "megatron_lm"),
        ("Transformer Engine", "d0ef413b"),
    ]


@pytest.mark.parametrize(
    ("framework", "components"),
    [
        ("PyTorch", []),
        ("PyTorch 2.8.0, ROCm 7.0", [("PyTorch", "2.8.0"), ("ROCm", "7.0")]),
        ("PyTorch NVIDIA Release 25.09", [("NGC container", "25.09"), ("PyTorch", "NGC 25.09")]),
        (
            "NVIDIA Release 25.08 (NeMo, DGL)",
            [("NGC container", "25.08"), ("NeMo", "NGC 25.08"), ("DGL", "NGC 25.08")],
        ),
        (
            "NGC Pytorch 25.04, HugeCTR Nemo 25.09",
            [
                ("NGC container", "25.04"),
                ("PyTorch", "NGC 25.04"),
                ("NGC container", "25.09"),
                ("HugeCTR", "NGC 25.09"),
                ("NeMo", "NGC 25.09"),
            ],
        ),
    ],
)
def test_a_framework_is_kept_whole_and_by_component(
    framework: str, components: list[tuple[str, str]]
) -> None:
    assert sorted(stated(framework=framework)) == sorted([("framework", framework), *components])


@pytest.mark.parametrize("unsaid", ["", " ", "TBD", "todo", "N/A", None, True, {}, [[]]])
def test_what_is_not_said_is_left_out(unsaid: object) -> None:
    fields = ("framework", "other_software_stack", "operating_system", "sw_notes")
    assert software(dict.fromkeys(fields, unsaid)) == []


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(["framework", "other_software_stack", "operating_system"]), json))
def test_any_description_gives_few_short_statements(description: dict[str, object]) -> None:
    entries = software(description)
    assert all(isinstance(entry, Software) and len(entry.value) <= 300 for entry in entries)


def test_a_hostile_description_is_cut_short() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    wide = {f"key{number}": "x" * 10_000 for number in range(10_000)}
    assert software({"other_software_stack": deep}) == []
    assert len(software({"other_software_stack": wide})) == 64
    assert software({"other_software_stack": {"cuda_version": 10**100_000}}) == []


def test_links_lead_to_the_public_repository_of_the_round() -> None:
    found = links("5.0", "IBM+CoreWeave+NVIDIA", "a b/../c")
    folder = "https://github.com/mlcommons/training_results_v5.0/tree/main/IBM%2BCoreWeave%2BNVIDIA"
    assert found == {
        "system": f"{folder}/systems/a%20b%2F..%2Fc.json",
        "results": f"{folder}/results/a%20b%2F..%2Fc",
        "code": f"{folder}/benchmarks",
    }


@pytest.mark.parametrize(("round", "submitter"), [("mine", "NVIDIA"), ("5.1\n", "NVIDIA"), ("5.1", "..")])
def test_no_link_for_what_was_not_published(round: str, submitter: str) -> None:
    assert links(round, submitter, "system") == {}


def test_the_precision_of_a_description_is_never_certain() -> None:
    found = described_precision({"sw_notes": "FP8 Training", "framework": "PyTorch"})
    assert found is not None
    assert (found.name, found.certain) == ("FP8", False)
    assert described_precision({"sw_notes": "FP8 or BF16", "framework": ["FP8"]}) is None
