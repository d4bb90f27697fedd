"""What a package has in C, compiled for the processors of the boards, warnings as errors."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from bare_metal import SOURCES, WARNINGS

from qdeploy.resources import resource
from qdeploy.targets.pynq.bare_metal import LOADING

BSP = Path(__file__).resolve().parents[2] / "support/bsp"
# Of the BSP, and of the compiler's own library: division of 64 bits, copies.
KNOWN = r"(Xil_DCache\w+|XTime_GetTime|xil_printf|__aeabi_\w+|__ldivmod|mem(cpy|set|move))"


@dataclass(frozen=True)
class Processor:
    """One processor, and Debian's compiler for it."""

    prefix: str
    flags: tuple[str, ...]
    machine: str

    def tool(self, name: str) -> str:
        """A program of its tools."""
        program = f"{self.prefix}-{name}"
        assert shutil.which(program), f"these tests need {program}: apt-get install {self.package}"
        return program

    @property
    def package(self) -> str:
        """Of the compiler."""
        return f"gcc-{self.prefix}"


PROCESSORS = {
    "cortex-a9": Processor(
        "arm-linux-gnueabihf", ("-mcpu=cortex-a9", "-mfpu=neon", "-ffreestanding"), "ARM"
    ),
    "cortex-a53": Processor("aarch64-linux-gnu", ("-mcpu=cortex-a53", "-ffreestanding"), "AArch64"),
}


@pytest.fixture(params=PROCESSORS)
def processor(request: pytest.FixtureRequest) -> Processor:
    """Each processor."""
    return PROCESSORS[request.param]


def run(*command: str | Path) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def compiled(processor: Processor, folder: Path, name: str, target: Path, *defined: str) -> Path:
    """One file as an object."""
    warnings = (*WARNINGS, "-Wcast-align", *(f"-D{one}" for one in defined))
    run(processor.tool("gcc"), *processor.flags, *warnings, "-O2", "-fno-pic", "-isystem", BSP,
        "-c", folder / name, "-o", target)  # fmt: skip
    return target


def strange_names(processor: Processor, objects: list[Path], target: Path) -> list[str]:
    """What they need together that is neither of the BSP nor of the compiler."""
    run(processor.tool("ld"), "-r", *objects, "-o", target)
    needed = run(processor.tool("nm"), "--undefined-only", target).split()
    return [name for name in needed if name != "U" and not re.fullmatch(KNOWN, name)]


def test_the_driver_in_c_compiles_and_needs_only_the_bsp(
    processor: Processor, toy_package: Path, tmp_path: Path
) -> None:
    folder = toy_package / "bare_metal"
    names = [path.name for path in sorted(folder.glob("*.c"))]
    assert {*SOURCES, "main.c", "qd_port_vitis.c"} == set(names)
    objects = [compiled(processor, folder, name, tmp_path / f"{name}.o") for name in names]
    assert processor.machine in run(processor.tool("readelf"), "-h", objects[0])
    strange = strange_names(processor, objects, tmp_path / "driver.o")
    assert not strange, "no heap, and no more of a C library than copies"


def test_the_loading_of_weights_in_c_compiles_and_needs_only_the_bsp(
    processor: Processor, toy_package: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bare_metal"
    shutil.copytree(toy_package / "bare_metal", folder)
    for name in LOADING:
        shutil.copyfile(resource(f"export/pynq/bare_metal/{name}"), folder / name)
    header = folder / "qd_design.h"
    text, never = header.read_text(), "#define QD_WEIGHTS_BYTES 0u"
    assert text.count(never) == 1
    header.write_text(text.replace(never, "#define QD_WEIGHTS_BYTES 7744u"))
    place = ("QD_WEIGHTS_AT=0x10000000", "QD_WEIGHTS_SIZE=8192u")
    objects = [
        compiled(processor, folder, path.name, tmp_path / f"{path.name}.o", *place)
        for path in sorted(folder.glob("*.c"))
    ]
    assert len(objects) == 8
    assert not strange_names(processor, objects, tmp_path / "driver.o")


def test_the_packing_of_pynqs_driver_compiles_as_it_does_on_the_board(
    processor: Processor, toy_package: Path, tmp_path: Path
) -> None:
    source = toy_package / "driver/native.py"
    flags = re.search(r"^FLAGS = \((.*)\)$", source.read_text(encoding="utf-8"), re.M)
    assert flags
    words = re.findall(r'"([^"]+)"', flags[1])
    assert "-shared" in words
    library = tmp_path / "native.so"
    # Without a C library: it calls none.
    run(processor.tool("gcc"), processor.flags[0], *words, "-nostdlib", "-ffreestanding", "-Wall",
        "-Wextra", "-Werror", toy_package / "driver/native.c", "-lgcc", "-o", library)  # fmt: skip
    exported = run(processor.tool("nm"), "--dynamic", "--defined-only", library)
    assert {"qd_pack_u8", "qd_pack_i32", "qd_unpack"} <= set(exported.split())
    compiled(processor, toy_package / "driver", "native.c", tmp_path / "native.o")
