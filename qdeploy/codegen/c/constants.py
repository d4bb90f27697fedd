"""`weights.c` and `weights.h`: the constants of a network."""

from __future__ import annotations

from dataclasses import dataclass, field

from qdeploy.codegen.c.finishing import Finish
from qdeploy.codegen.c.kernels import finish_kind
from qdeploy.codegen.c.steps import Step
from qdeploy.codegen.c.text import array, comment_word, wide


@dataclass
class Constants:
    """Arrays of constants, by what is written.

    Args:
        prefix: of names.
    """

    prefix: str
    definitions: list[str] = field(default_factory=list)
    declarations: list[str] = field(default_factory=list)

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
            f"{packed.bits} bits */\n"
        )
        values = [str(byte) for byte in packed.data.reshape(-1).tolist()]
        return self.add("uint8_t", f"weights_{number}", values)

    def finish(self, number: int, finish: Finish) -> list[tuple[str, object]]:
        """The fields of a finish; its arrays are defined."""
        kind, _ = finish_kind(finish)
        fields: list[tuple[str, object]] = [("kind", kind)]
        line = finish.line
        if line is not None:
            count = 1 if line.shared else len(line.multiplier)
            multipliers = [str(value) for value in line.multiplier[:count].tolist()]
            addends = [wide(value) for value in line.bias[:count].tolist()]
            flags = [*(["QD_EVEN"] if line.even else []), *(["QD_SHARED"] if line.shared else [])]
            return [
                *fields,
                ("table", self.add("int32_t", f"multipliers_{number}", multipliers)),
                ("addends", self.add("int64_t", f"addends_{number}", addends)),
                ("base", line.base),
                ("levels", line.levels),
                ("shift", line.shift),
                ("flags", " | ".join(flags) or 0),
            ]
        if finish.table is not None:
            values = [str(value) for value in finish.table.reshape(-1).tolist()]
            table = self.add(finish.element.c_type, f"thresholds_{number}", values)
            levels = finish.table.shape[1]
            return [*fields, ("table", table), ("base", finish.base), ("levels", levels)]
        if finish.bias is not None:
            values = [str(value) for value in finish.bias.tolist()]
            return [*fields, ("table", self.add("int32_t", f"bias_{number}", values))]
        return fields

    def source(self) -> str:
        """`weights.c`."""
        return '#include "weights.h"\n\n' + "\n".join(self.definitions)

    def header(self) -> str:
        """`weights.h`."""
        guard = f"{self.prefix.upper()}_WEIGHTS_H"
        body = "".join(self.declarations)
        return f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\n{body}\n#endif\n"
