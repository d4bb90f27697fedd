"""The cores that C is compiled and verified for."""

from __future__ import annotations

from dataclasses import dataclass

from qdeploy.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Core:
    """A core.

    Args:
        compiler: prefix of its tools; empty for the host's.
        flags: of the compiler.
        machine: of QEMU, that runs its instructions.
        emulator: program of QEMU.
    """

    name: str
    compiler: str = ""
    flags: tuple[str, ...] = ()
    emulator: str = ""
    machine: str = ""

    @property
    def machine_arguments(self) -> tuple[str, ...]:
        """Of QEMU, with semihosting, without counting instructions."""
        return (
            *("-machine", self.machine, "-nographic", "-monitor", "none", "-serial", "none"),
            *("-semihosting-config", "enable=on,target=native"),
            *(("-bios", "none") if self.emulator == "qemu-system-riscv32" else ()),
        )


_ARM, _QEMU_ARM = "arm-none-eabi-", "qemu-system-arm"
CORES = {
    core.name: core
    for core in (
        Core("host"),
        # QEMU has no M0+ with memory enough: its instructions run on an M3.
        Core("cortex-m0plus", _ARM, ("-mcpu=cortex-m0plus", "-mthumb"), _QEMU_ARM, "mps2-an385"),
        Core("cortex-m3", _ARM, ("-mcpu=cortex-m3", "-mthumb"), _QEMU_ARM, "mps2-an385"),
        Core("cortex-m4", _ARM, ("-mcpu=cortex-m4", "-mthumb"), _QEMU_ARM, "mps2-an386"),
        Core("cortex-m7", _ARM, ("-mcpu=cortex-m7", "-mthumb"), _QEMU_ARM, "mps2-an500"),
        Core(
            "rv32imc",
            "riscv64-unknown-elf-",
            ("-march=rv32imc_zicsr", "-mabi=ilp32"),
            "qemu-system-riscv32",
            "virt",
        ),
    )
}


def load_core(name: str) -> Core:
    """The core `name`.

    Raises:
        UserError: there is none.
    """
    if name not in CORES:
        raise UserError(
            f"there is no core `{name}`{did_you_mean(name, CORES)}",
            where="--mcu",
            do=f"choose one of: {', '.join(CORES)}",
        )
    return CORES[name]
