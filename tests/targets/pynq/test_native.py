"""Packing in C equals packing in numpy, byte for byte, and is used where it can be."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdeploy.ir.input_codes import InputPreparation, RawType
from qdeploy.ir.input_thresholds import plain


@pytest.fixture(scope="module")
def layouts(
    toy_package: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ModuleType, ModuleType]:
    """`driver.layout` and `driver.native` of a copy of the toy package."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(toy_package / "driver", root / "driver")
    for name in [name for name in sys.modules if name.split(".")[0] == "driver"]:
        del sys.modules[name]
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module("driver.layout"), importlib.import_module("driver.native")
    finally:
        sys.path.remove(str(root))


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], InputPreparation, int]:
    """A bundle's streams, the preparation of its input, and a seed."""
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=3, max_size=3)))
    if draw(st.booleans()):
        shape = (shape[0] * shape[1] * shape[2],)
    elements = int(np.prod(shape))
    kind = draw(st.sampled_from(["codes", "signed", "shift", "table", "rows"]))
    bits = draw(st.integers(1, 16))
    shift, raw_range, signed = 0, None, False
    if kind == "codes":
        preparation = plain(None, 0, (1 << bits) - 1, shape)
    elif kind == "signed":
        signed = True
        preparation = plain(None, -(1 << (bits - 1)), (1 << (bits - 1)) - 1, shape)
    elif kind == "shift":
        bits = draw(st.integers(1, 7))
        preparation, shift, raw_range = plain(None, 0, (1 << bits) - 1, shape), 8 - bits, [0, 255]
    else:
        bits = draw(st.integers(1, 8))
        axis = draw(st.integers(0, len(shape) - 1)) if kind == "rows" else None
        rows = 1 if axis is None else shape[axis]
        low = draw(st.sampled_from([0, -128, -5]))
        raw = RawType(low, low + draw(st.sampled_from([255, 15, 4095])), Fraction(1, 16), 3)
        table = np.sort(random.uniform(-20, 20, (rows, (1 << bits) - 1)).astype(np.float32), axis=1)
        falling = tuple(bool(one) for one in random.integers(0, 2, rows))
        preparation = InputPreparation(table, 0, falling, axis, shape, raw=raw)
    if len(shape) == 3 and draw(st.booleans()):
        turned = ("transpose", tuple(int(axis) for axis in random.permutation(3)))
        preparation = InputPreparation(
            preparation.thresholds,
            preparation.lo,
            preparation.falling,
            preparation.axis,
            shape,
            (turned,),
            raw=preparation.raw,
        )
    code = preparation.code_shape
    stream = [*code[1:], code[0]] if len(code) == 3 else list(code)
    source = _stream(draw, stream, bits, signed)
    source |= {
        "data_shape": list(shape),
        "shift": shift,
        "range": [preparation.lo, preparation.hi],
        "raw_range": raw_range or list(preparation.integer_range),
        "scale": 1.0,
    }
    out_bits = draw(st.integers(1, 32))
    sink = _stream(draw, [draw(st.integers(1, 12))], out_bits, draw(st.booleans()))
    assert source["elements"] == elements
    return {"input": source, "output": sink}, preparation, seed


def _stream(draw: st.DrawFn, shape: list[int], bits: int, signed: bool) -> dict[str, Any]:
    elements = int(np.prod(shape))
    per_beat = draw(st.sampled_from([n for n in range(1, elements + 1) if elements % n == 0]))
    used = (bits * per_beat + 7) // 8
    return {
        "stream_shape": shape,
        "elements": elements,
        "bits": bits,
        "signed": signed,
        "per_beat": per_beat,
        "beats": elements // per_beat,
        "dma_bytes_per_beat": max(used, draw(st.sampled_from([used, 1, 2, 4, 8, 64]))),
    }


@settings(max_examples=150, deadline=None)
@given(case=cases(), frames=st.integers(1, 4), real=st.booleans())
def test_c_and_numpy_pack_and_unpack_the_same_bytes(
    case: tuple[dict[str, Any], InputPreparation, int],
    frames: int,
    real: bool,
    layouts: tuple[ModuleType, ModuleType],
) -> None:
    bundle, preparation, seed = case
    random = np.random.default_rng(seed)
    native = layouts[0].Layout(bundle, preparation)
    numpy = layouts[0].Layout(bundle, preparation, native=False)
    assert (native.packing, numpy.packing) == ("native", "numpy")
    low, high = native.raw_range
    raw = random.integers(low, high + 1, (frames, *native.data_shape))
    kinds = [np.int64, np.int32] + [np.uint8] * (low >= 0 and high <= 255)
    batch: Any = raw.astype(kinds[seed % len(kinds)])
    if real:
        batch = (raw * 0.37).astype(np.float32)
    # Bytes around the beats stay what they are.
    size = frames * native.in_frame_bytes
    found = np.full((2, size + 32), 0xA5, dtype=np.uint8)
    for layout, memory in zip((native, numpy), found, strict=True):
        rows = memory[16 : 16 + size].reshape(frames, -1)
        layout.to_beats(layout.check(batch, from_float=real), rows)
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[:, :16] == 0xA5).all() and (found[:, -16:] == 0xA5).all()
    beats = random.integers(0, 256, (frames, native.out_frame_bytes)).astype(np.uint8)
    values = native.from_beats(beats)
    np.testing.assert_array_equal(values, numpy.from_beats(beats))
    assert values.dtype == np.int64 and values.shape == (frames, *native.out_shape)


PACKING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from driver import bundle, layout, preparation
root = Path(sys.argv[1])
data = bundle.load(root)
print(layout.Layout(data, preparation.load(root, data)).packing)
"""


def test_a_board_without_a_compiler_or_with_wrong_code_uses_numpy(
    toy_package: Path, tmp_path: Path
) -> None:
    root = tmp_path / "package"
    shutil.copytree(toy_package, root, ignore=shutil.ignore_patterns("native-*.so"))
    source = root / "driver/native.c"

    def packing(**environment: str) -> str:
        command = [sys.executable, "-c", PACKING, str(root)]
        environment = {**os.environ, **environment}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        return done.stdout.strip()

    nowhere = str(tmp_path)
    assert packing(PATH=nowhere) == "numpy"
    assert packing() == "native"
    (built,) = source.parent.glob("native-*.so")
    # What was compiled is kept; when damaged it is compiled again.
    assert packing(PATH=nowhere) == "native"
    built.write_bytes(b"\x7fELF no more")
    assert packing(PATH=nowhere) == "numpy"
    assert packing() == "native"
    text = source.read_text()
    for wrong in (
        ("(int32_t)code >> up", "code >> up"),
        ("= (uint8_t)code;", "= (uint8_t)(code + 1);"),
        ("}", ""),
    ):
        assert wrong[0] in text
        source.write_text(text.replace(*wrong))
        assert packing() == "numpy"
    source.write_text(text)
    assert not list(source.parent.glob("*.tmp"))


def test_the_c_code_compiles_without_warnings_as_strict_c99(
    layouts: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror", "-O2"]
    command = ["cc", *flags, "-c", str(layouts[1].SOURCE), "-o", str(tmp_path / "native.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
