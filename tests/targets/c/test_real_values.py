"""Measured values with a scaling of few signed codes, in C."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from real_values import scaling_of, trained_on_series, values_of

from qdeploy.build.build import build
from qdeploy.build.options import Options


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_on_series(tmp_path_factory.mktemp("strokes"))


def test_measured_values_are_exact_in_c(trained: Path, tmp_path: Path) -> None:
    options = Options(trained, data=trained.parent, target="c", frames=24)
    made = build(options, tmp_path / "built")
    assert made.failure is None
    package = made.folder / "package"
    done = subprocess.run(["make", "test"], cwd=package, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    library = tmp_path / "network.so"
    sources = [package / name for name in ("network.c", "weights.c", "network_io.c")]
    strict = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
    command = ["gcc", *strict, "-shared", "-fPIC", *map(str, sources), "-o", str(library)]
    subprocess.run(command, check=True)
    prepare = ctypes.CDLL(str(library)).network_prepare_real
    x, scaling = values_of(trained), scaling_of(trained)
    codes = np.zeros((len(x), 24, 3), np.int8)
    for frame, out in zip(x, codes, strict=True):
        prepare(frame.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p))
    assert np.array_equal(codes.transpose(0, 2, 1), scaling.codes(x[:, :, None])[:, :, 0])
    header = (package / "network.hpp").read_text()
    assert "run_real" in header
    compiled = ["g++", "-std=c++11", "-fsyntax-only", "-Wall", "-Werror", "-I", str(package)]
    (tmp_path / "use.cpp").write_text(
        '#include "network.hpp"\nint use(const float *x) { static network::Network n; '
        "return n.run_real(x)[0]; }\n"
    )
    subprocess.run([*compiled, str(tmp_path / "use.cpp")], check=True)
