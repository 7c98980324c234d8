"""The number format that a log states, and the many mentions that state nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pitboard.results.precision import from_description, precision

BUILT = (
    b"0:    GPTConfig(\n0:     fp8=%s,\n0:     fp8_recipe='%s',\n0:     fp4=%s,\n0:     fp4_recipe='nvfp4',\n"
)


@pytest.mark.parametrize(
    ("log", "name", "certain"),
    [
        (BUILT % (b"None", b"delayed", b"'e2m1'"), "NVFP4", True),
        (BUILT % (b"'hybrid'", b"delayed", b"None"), "FP8", True),
        (BUILT % (b"'e4m3'", b"mxfp8", b"None"), "MXFP8", True),
        (b"0:   fp4: true\n0:   fp4_recipe: nvfp4\n0:   fp8: false\n", "NVFP4", True),
        (b"  fp4: false\n  fp4_recipe: nvfp4\n  fp8: true\n  fp8_recipe: tensorwise\n", "FP8", True),
        # the settings ask for one thing, the model was built with another
        (b"  fp4: true\n  fp4_recipe: nvfp4\n" + BUILT % (b"'hybrid'", b"delayed", b"None"), "FP8", True),
        (b"0: Using 16bit Automatic Mixed Precision (AMP)\n", "FP16", True),
        (b"  precision: bf16-mixed\n  fp8: false\n", "BF16", False),
        (b':::MLLOG {"key": "pitboard_precision", "value": "mxfp8", "metadata": {}}\n', "MXFP8", True),
    ],
)
def test_a_setting_that_took_effect_is_the_precision(log: bytes, name: str, certain: bool) -> None:
    found = precision(b"first line\n" + log)
    assert found is not None
    assert (found.name, found.certain) == (name, certain)
    assert found.source.startswith("log line ")


@pytest.mark.parametrize(
    "log",
    [
        b"",
        b"docker exec --env=FP8 --env=FP8_AMAX_ALGO\n",
        b"0: Namespace(fp16=True, amp=True, fp8_embedding=True)\n",
        b"  fp4: false\n  fp4_recipe: nvfp4\n  fp8: false\n  fp8_hybrid: true\n",
        b"  # set fp8: true\n  use_fp8: true\n",
        b"  fp4: true\n",  # which of the 4-bit formats?
        b"fp8 is not available on this device\n",
    ],
)
def test_a_mere_mention_states_nothing(log: bytes) -> None:
    assert precision(log) is None


def test_the_source_names_the_line_and_a_later_change_of_format() -> None:
    log = b"a\nb\n0:   fp4: true\n0:   fp4_recipe: nvfp4\n0:   healing_iter: 350\n0:   fp8: false\n"
    found = precision(log)
    assert found is not None
    assert found.source == (
        "log line 3: fp4: true, recipe nvfp4 (run's settings); FP8 from step 350 on (healing_iter)"
    )


def test_a_description_is_never_certain() -> None:
    found = from_description({"sw_notes": "FP8 Training", "framework": "PyTorch"})
    assert found is not None
    assert (found.name, found.certain) == ("FP8", False)
    assert from_description({"sw_notes": "FP8 or BF16", "framework": ["FP8"]}) is None


@given(
    st.binary() | st.lists(st.sampled_from([b"fp8: ", b"fp4='", b"true\n", b"\n0: ", b"e2m1'"])).map(b"".join)
)
def test_no_log_raises(log: bytes) -> None:
    precision(log)
