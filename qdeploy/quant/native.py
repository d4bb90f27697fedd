"""The quantizer's two passes in C, where the machine has a C compiler.

`kernels/*.c` are compiled once, in a fraction of a second, into a folder of the user's cache that
nobody else can write. Without a compiler, torch's own operations compute the same bits; the
gradient of a step is a sum in another order.

The library has no OpenMP runtime of its own: it calls the one that torch has loaded, so that both
share their threads.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import platform
import re
import shutil
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import torch

from qdeploy.artifacts import atomic_path
from qdeploy.errors import QDeployError
from qdeploy.scratch import scratch_folder
from qdeploy.tools import run_tool
from qdeploy.user_cache import user_cache

KERNELS = Path(__file__).with_name("kernels")
COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-std=c11", "-O3", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
_CHUNK = 8192  # as in the source
_SECONDS = 60.0
_RUNTIMES = re.compile(r"lib(gomp|iomp5|omp)\b.*\.so.*")


class Rule(IntEnum):
    """What a quantizer's gradient is; see `fused`."""

    PACT = 0
    CLIP = 1
    CLIP_AFTER_RELU = 2
    THROUGH = 3


def missing() -> str | None:
    """Why there are no kernels, in a clause; None where there are."""
    found = _library()
    return found if isinstance(found, str) else None


class Scale(NamedTuple):
    """Steps of max(|value|, smallest) / levels.

    Args:
        value: one float32, or one for each index of the first axis of what is quantized.
    """

    value: torch.Tensor
    smallest: float
    levels: int


def takes(x: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether the kernels take these: float32 or bfloat16 on the CPU without holes in memory, and
    one float32 value, or one for each index of the first axis."""
    if value.dtype != torch.float32 or not takes_values(x):
        return False
    return value.numel() == 1 or _in_rows(x, value)


def takes_values(x: torch.Tensor) -> bool:
    """Whether there are kernels, and `x` is float32 or bfloat16 on the CPU without holes."""
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16):
        return False
    return _dense(x) and not isinstance(_library(), str)


def quantize(x: torch.Tensor, scale: Scale, lo: int, hi: int) -> torch.Tensor:
    """Δ·clip(round(x / Δ), lo, hi) in float32, in the memory format of `x`; all as `takes` says."""
    value, smallest, levels = scale
    values, rows = value.contiguous(), value.numel()
    y = torch.empty_like(x, dtype=torch.float32)
    function("quantize", x.dtype)(
        *(x.data_ptr(), y.data_ptr(), rows, x.numel() // rows, values.data_ptr()),
        *(smallest, levels, lo, hi, torch.get_num_threads()),
    )
    return y


def gradient(
    grad: torch.Tensor, x: torch.Tensor, scale: Scale, lo: int, hi: int, rule: Rule
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of `x`, in its type, and of the value, in its shape; all as `takes` says.

    Args:
        grad: of the quantized values, float32.
        rule: with `THROUGH` the gradient of `x` is `grad` itself.
    """
    grad = in_format_of(x, grad)
    value, smallest, levels = scale
    values, rows = value.contiguous(), value.numel()
    size = x.numel() // rows
    out = grad if rule == Rule.THROUGH else torch.empty_like(x)
    parts = torch.empty(parts_of(rows, size), dtype=torch.float64)
    sums = torch.empty(rows)
    function("gradient", x.dtype)(
        *(grad.data_ptr(), x.data_ptr(), out.data_ptr(), rows, size, values.data_ptr()),
        *(smallest, levels, lo, hi, int(rule), parts.data_ptr(), sums.data_ptr()),
        torch.get_num_threads(),
    )
    return out, sums.reshape(value.shape)


def in_format_of(x: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
    """`grad`, float32, as it lies in memory where it lies as `x` does."""
    if grad.stride() == x.stride():
        return grad
    return torch.empty_like(x, dtype=torch.float32).copy_(grad)


def _dense(x: torch.Tensor) -> bool:
    return x.is_contiguous() or (
        x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    )


def _in_rows(x: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether each value goes with one index of the first axis, which lies in one piece."""
    rows = value.numel()
    return (
        x.dim() == value.dim()
        and value.shape[0] == rows == x.shape[0]
        and x.numel() > 0
        and x.stride(0) * rows == x.numel()
    )


def parts_of(rows: int, size: int) -> int:
    """Partial sums, in double precision, of a gradient of so many rows of `size` values."""
    return rows * -(-size // _CHUNK)


def function(name: str, kind: torch.dtype) -> ctypes._NamedFuncPointer:
    """A kernel for values of this type; there has to be a library."""
    function: ctypes._NamedFuncPointer = getattr(
        library(), f"{name}_{'f32' if kind == torch.float32 else 'bf16'}"
    )
    return function


def library() -> ctypes.CDLL:
    """The compiled kernels; there have to be some (`missing`)."""
    found = _library()
    assert not isinstance(found, str)
    return found


@functools.cache
def _library() -> ctypes.CDLL | str:
    """The compiled kernels, or why there are none."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        return "no C compiler is on the PATH (sudo apt-get install gcc brings one)"
    try:
        return _loaded(_compiled(compiler))
    except QDeployError as error:
        return f"{compiler} does not compile them ({error.what})"
    except (OSError, AttributeError) as error:
        return f"the compiled kernels cannot be loaded ({error})"


def _compiled(compiler: str) -> Path:
    """The library, compiled where it is not there yet."""
    threads = ("-fopenmp",) if _openmp() is not None else ("-fopenmp-simd",)
    x86 = platform.machine() in ("x86_64", "AMD64", "i686")
    flags = (*_FLAGS, "-march=native" if x86 else "-mcpu=native", *threads)
    path = user_cache("kernels") / f"quantize-{_key(compiler, flags)}.so"
    if not path.exists():
        with scratch_folder("kernels") as work:
            # Linked in a second step, which names no OpenMP runtime.
            compiled = [work / f"{source.stem}.o" for source in _sources("*.c")]
            linked = work / "quantize.so"
            for source, made in zip(_sources("*.c"), compiled, strict=True):
                _run([compiler, *flags, "-c", source, "-o", made], work)
            _run([compiler, "-shared", *compiled, "-o", linked, "-lm"], work)
            with atomic_path(path) as part:
                shutil.copyfile(linked, part)
    return path


def _sources(kind: str) -> list[Path]:
    return sorted(KERNELS.glob(kind))


def _run(command: list[str | Path], work: Path) -> None:
    run_tool(command, work, work / "log", _SECONDS)


def _loaded(path: Path) -> ctypes.CDLL:
    runtime = _openmp()
    if runtime is not None:
        # torch has loaded it for itself alone; the kernels look for its functions, too.
        ctypes.CDLL(str(runtime), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(path))
    pointer, size, real, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int
    for kind in ("f32", "bf16"):
        forward = getattr(library, f"quantize_{kind}")
        forward.argtypes = [pointer, pointer, size, size, pointer, *[real] * 4, number]
        forward.restype = None
        backward = getattr(library, f"gradient_{kind}")
        backward.argtypes = [*[pointer] * 3, size, size, pointer, *[real] * 4, number]
        backward.argtypes += [pointer, pointer, number]
        backward.restype = None
        forward = getattr(library, f"count_{kind}")
        forward.argtypes = [pointer, pointer, size, number, pointer, real, number]
        forward.restype = None
        backward = getattr(library, f"count_gradient_{kind}")
        backward.argtypes = [*[pointer] * 3, size, number, *[pointer] * 5, number]
        backward.restype = None
    shape = [size] * 3
    for name, kinds in {
        "affine": [*[pointer] * 2, *shape, *[pointer] * 2, number, number],
        "norm": [*[pointer] * 2, *shape, *[pointer] * 2, real, number, *[pointer] * 6, number],
        "norm_gradient": [*[pointer] * 3, *shape, number, *[pointer] * 7, number],
    }.items():
        function = getattr(library, f"{name}_f32")
        function.argtypes, function.restype = kinds, None
    return library


@functools.cache
def _openmp() -> Path | None:
    """The OpenMP runtime that torch uses in this process; None where that is not sure."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        return None
    paths = {Path(line.split(None, 5)[5]) for line in lines if line.count(" ") > 4 and "/" in line}
    found = [path for path in sorted(paths) if _RUNTIMES.fullmatch(path.name)]
    own = [path for path in found if path.is_relative_to(Path(torch.__file__).parent)]
    return (own or found)[0] if len(own or found) == 1 else None


def _key(compiler: str, flags: tuple[str, ...]) -> str:
    """Of everything that the library depends on."""
    stamp = Path(compiler).resolve().stat()
    parts = [str(flags), compiler, f"{stamp.st_mtime_ns} {stamp.st_size}", platform.machine()]
    parts += [_processor(), str(_openmp())]
    texts = b"".join(source.read_bytes() for source in _sources("*.[ch]"))
    return hashlib.sha256(texts + "\n".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor()
    kinds = {line for line in text.splitlines() if line.startswith(("flags", "Features"))}
    return "\n".join(sorted(kinds))
