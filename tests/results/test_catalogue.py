"""Accelerator descriptions, as submitters write them, to one catalogue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitboard.results.catalogue import GENERATION_YEAR, Accelerator, accelerator, memory_gb


@pytest.mark.parametrize(
    ("text", "memory", "name", "gigabytes", "generation"),
    [
        ("NVIDIA Blackwell GPU (B200-SXM-180GB)", "192 GB", "NVIDIA B200", 180, "Blackwell"),
        ("NVIDIA Blackwell GPU (GB200)", "189471 MiB", "NVIDIA GB200", 186, "Blackwell"),
        ("NVIDIA Blackwell Ultra GPU (B300-SXM-270GB)", "275 GB", "NVIDIA B300", 270, "Blackwell Ultra"),
        ("NVIDIA Blackwell Ultra GPU (GB300)", "288GB", "NVIDIA GB300", 279, "Blackwell Ultra"),
        ("NVIDIA H200 NVL 141GB", "96000 MiB", "NVIDIA H200 NVL", 141, "Hopper"),
        ("NVIDIA H200-SXM5-141GB", "143771 MiB", "NVIDIA H200", 141, "Hopper"),
        ("NVIDIA H100-SXM5-80GB", "81559 MiB", "NVIDIA H100", 80, "Hopper"),
        ("AMD Instinct MI325X 256GB HBM3E DLC", "256GB", "AMD MI325X", 256, "CDNA 3"),
        ("AMD Instinct MI355X", "288G", "AMD MI355X", 288, "CDNA 4"),
        ("NVIDIA RTX A5000", "2x 24 GB", "NVIDIA RTX A5000", 24, "Ampere"),
        ("NVIDIA GeForce RTX 4090", "24GB", "NVIDIA RTX 4090", 24, "Ada"),
        ("NVIDIA RTX Pro 6000 SE PCIe 96GB", "96000 MiB", "NVIDIA RTX Pro 6000", 96, "Blackwell"),
        ("AMD Radeon RX 7900 XTX", "24GB", "AMD RX 7900 XTX", 24, "RDNA 3"),
        ("TPU-trillium", "32GB", "Google TPU Trillium", 32, "TPU v6"),
        ("NVIDIA A100-SXM4-40GB", None, "NVIDIA A100", 40, "Ampere"),
        ("NVIDIA A100-PCIE-40GB (250W)", "40GB", "NVIDIA A100 PCIe", 40, "Ampere"),
        ("Habana Gaudi", "32 GB", "Intel Gaudi HL-205", 32, "Gaudi"),
        ("Habana Gaudi2", "96 GB", "Intel Gaudi 2", 96, "Gaudi 2"),
        ("Intel(R) Gaudi(R) 2 AI Accelerator", "96 GB", "Intel Gaudi 2", 96, "Gaudi 2"),
        ("Graphcore Bow IPU", "32GB", "Graphcore Bow IPU", 32, "IPU Bow"),
        ("Ascend 910 Pro A", "32 GB", "Huawei Ascend 910", 32, "Ascend"),
        # not in the rounds that ship
        ("A100", "40536 MiB", "NVIDIA A100", 40, "Ampere"),
        ("NVIDIA GB200NVL72", None, "NVIDIA GB200", 186, "Blackwell"),
        ("NVIDIA H100 PCIe", None, "NVIDIA H100 PCIe", 80, "Hopper"),
        ("GH200 144G HBM3e", None, "NVIDIA GH200", 144, "Hopper"),
        ("RTX4090", None, "NVIDIA RTX 4090", 24, "Ada"),
        ("nvidia l40s", None, "NVIDIA L40S", 48, "Ada"),
        ("AMD Instinct MI 300A", None, "AMD MI300A", 128, "CDNA 3"),
        ("Google Cloud TPU v5p", None, "Google TPU v5p", 95, "TPU v5"),
        ("Intel Gaudi3", None, "Intel Gaudi 3", 128, "Gaudi 3"),
    ],
)
def test_a_description_becomes_one_catalogue_entry(
    text: str, memory: str | None, name: str, gigabytes: float, generation: str
) -> None:
    found = accelerator(text, memory)
    assert found is not None
    assert (found.name, found.memory_gb, found.generation) == (name, gigabytes, generation)


@pytest.mark.parametrize(
    "text",
    [None, "", "N/A", "NVIDIA Blackwell GPU", "B2000", "XB200", "NVIDIA H100 and A100", "INTEL(R) XEON"],
)
def test_what_names_no_part_or_two_is_left_to_the_caller(text: str | None) -> None:
    assert accelerator(text, "80 GB") is None


@pytest.mark.parametrize(
    ("text", "gigabytes"),
    [("189471 MiB", 185), ("180GB", 180), ("288G", 288), ("2x 24 GB", 24), ("1.5 TB", 1500)]
    + [(text, None) for text in (None, "", "N/A", "80", "0 GB", "HBM3e")],
)
def test_memory_is_that_of_one_accelerator(text: str | None, gigabytes: float | None) -> None:
    assert memory_gb(text) == gigabytes


@given(st.text() | st.sampled_from(["B200", "GB", "9" * 500 + " GB"]), st.none() | st.text())
def test_no_text_raises(text: str, memory: str | None) -> None:
    found = accelerator(text, memory)
    assert found is None or (isinstance(found, Accelerator) and found.generation in GENERATION_YEAR)
