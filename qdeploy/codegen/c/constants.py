"""`weights.c` and `weights.h`: the constants of a network."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qdeploy.codegen.c.finishing import Finish
from qdeploy.codegen.c.kernels import finish_kind
from qdeploy.codegen.c.staging import Staging
from qdeploy.codegen.c.steps import Step
from qdeploy.codegen.c.text import array, comment_word, wide
from qdeploy.ir.integer_graph import IntArray


@dataclass
class Constants:
    """Arrays of constants, by what is written.

    Args:
        prefix: of names.
        definitions, declarations: of `weights.c` and `weights.h`.
        local: definitions of `network.c`.
    """

    prefix: str
    definitions: list[str] = field(default_factory=list)
    declarations: list[str] = field(default_factory=list)
    local: list[str] = field(default_factory=list)

    def add(self, c_type: str, name: str, values: list[str]) -> str:
        """Define an array; gives its name."""
        whole = f"{self.prefix}_{name}"
        self.definitions.append(array(c_type, whole, values))
        self.declarations.append(f"extern const {c_type} {whole}[{len(values)}];\n")
        return whole

    def weights(self, number: int, step: Step) -> str:
        """The packed weights of a step."""
        assert step.weights is not None
        packed = step.weights
        self.definitions.append(
            f"/* {comment_word(step.layer)}: {len(packed.data)} x {packed.columns} weights of "
            f"{'1.6' if packed.trits else packed.bits} bits */\n"
        )
        values = [str(byte) for byte in packed.data.reshape(-1).tolist()]
        return self.add("uint8_t", f"weights_{number}", values)

    def vector(self, number: int, weights: npt.NDArray[np.int8]) -> str:
        """Weights as `conv_vector.h` takes them."""
        values = [str(value) for value in weights.reshape(-1).tolist()]
        return self.add("int8_t", f"vector_{number}", values)

    def runs(self, number: int, staging: Staging) -> str | int:
        """How products are added up, of every four filters."""
        if not staging.runs:
            return 0
        values = [f"{{{run.units}, {run.minus}, {run.offset}}}" for run in staging.runs]
        name = f"layer_{number}_runs"
        self.local.append("static " + array("qd_run_t", name, values))
        return name

    def finish(self, number: int, finish: Finish, what: str = "") -> list[tuple[str, object]]:
        """The fields of a finish; its arrays are defined, `what` in their names."""
        kind, _ = finish_kind(finish)
        fields: list[tuple[str, object]] = [("kind", kind)]
        if finish.codes is not None:
            values = [str(value) for value in finish.codes.tolist()]
            return [
                *fields,
                ("table", self.add("uint8_t", f"{what}codes_{number}", values)),
                ("base", finish.base),
            ]
        if finish.line32 is not None:
            short = finish.line32
            return [
                *fields,
                (
                    "table",
                    self.add(
                        "uint32_t", f"{what}multipliers_{number}", _unsigned(short.multiplier)
                    ),
                ),
                (
                    "addends",
                    self.add("uint32_t", f"{what}addends_{number}", _unsigned(short.addend)),
                ),
                ("base", finish.base),
                ("levels", short.levels),
                ("least", short.least),
                ("shift", short.shift),
                ("flags", "QD_SHARED" if len(short.addend) == 1 else 0),
            ]
        line = finish.line
        if line is not None:
            count = 1 if line.shared else len(line.multiplier)
            multipliers = [str(value) for value in line.multiplier[:count].tolist()]
            addends = [wide(value) for value in line.bias[:count].tolist()]
            flags = [*(["QD_EVEN"] if line.even else []), *(["QD_SHARED"] if line.shared else [])]
            return [
                *fields,
                ("table", self.add("int32_t", f"{what}multipliers_{number}", multipliers)),
                ("addends", self.add("int64_t", f"{what}addends_{number}", addends)),
                ("base", line.base),
                ("levels", line.levels),
                ("shift", line.shift),
                ("flags", " | ".join(flags) or 0),
            ]
        if finish.table is not None:
            values = [str(value) for value in finish.table.reshape(-1).tolist()]
            table = self.add(finish.element.c_type, f"{what}thresholds_{number}", values)
            levels = finish.table.shape[1]
            flag = "QD_SHARED" if len(finish.table) == 1 else 0
            return [
                *fields,
                ("table", table),
                ("base", finish.base),
                ("levels", levels),
                ("flags", flag),
            ]
        if finish.bias is not None:
            values = [str(value) for value in finish.bias.tolist()]
            return [*fields, ("table", self.add("int32_t", f"{what}bias_{number}", values))]
        return fields

    def source(self) -> str:
        """`weights.c`."""
        return '#include "weights.h"\n\n' + "\n".join(self.definitions)

    def header(self) -> str:
        """`weights.h`."""
        guard = f"{self.prefix.upper()}_WEIGHTS_H"
        body = "".join(self.declarations)
        return f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\n{body}\n#endif\n"


def _unsigned(values: IntArray) -> list[str]:
    return [f"{value}u" for value in values.tolist()]
