"""Marks of tests that run instructions which not every processor has."""

from __future__ import annotations

from pathlib import Path

import pytest

_INFO = Path("/proc/cpuinfo")
_FLAGS = _INFO.read_text(encoding="utf-8").split() if _INFO.exists() else []
AVX2 = pytest.mark.skipif("avx2" not in _FLAGS, reason="this processor has no AVX2")
VNNI = pytest.mark.skipif("avx512_vnni" not in _FLAGS, reason="this processor has no AVX512-VNNI")
