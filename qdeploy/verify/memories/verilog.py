"""The few forms of Verilog that wrappers and the top are made of, read back whole.

    module M ( ports );                 wire [n:0] a = expression;      assign a = expression;
    wire [n:0] a;   wire a, b;          module #(.P(value), …) name (.port(net), …);

A statement of another form is an error: nothing in these modules goes unread. A net has one driver
at most.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeVar

Value = int | str
T = TypeVar("T")

_COMMENT = re.compile(r"//[^\n]*")
_IDENTIFIER = r"[A-Za-z_]\w*"
_HEAD = re.compile(rf"\s*module ({_IDENTIFIER}) \((.*?)\n\);", re.DOTALL)
_PORT = re.compile(rf"(input|output)\s+wire (?:\[(\d+):0\] )?({_IDENTIFIER})")
_DRIVEN = re.compile(rf"wire (?:\[(\d+):0\] )?({_IDENTIFIER}) = (.+)")
_WIRES = re.compile(rf"wire (?:\[(\d+):0\] )?({_IDENTIFIER}(?:, {_IDENTIFIER})*)")
_ASSIGN = re.compile(rf"assign ({_IDENTIFIER}) = (.+)")
_INSTANCE = re.compile(rf"({_IDENTIFIER}) (?:#\((.*)\) )?({_IDENTIFIER}) \((.*)\)")
_BINDING = re.compile(rf'\.({_IDENTIFIER})\((-?\d+|"[^"\\]*"|{_IDENTIFIER})\)')
_PARAMETER = re.compile(r'parameter\s+(\w+)\s*=\s*(-?\d+|"[^"]*")')
_SPACE = re.compile(r"\s+")


class VerilogError(ValueError):
    """Text that is none of the forms above."""


@dataclass(frozen=True)
class Port:
    """A port of a module; `width` in bits."""

    direction: str
    width: int


@dataclass(frozen=True)
class Instance:
    """An instance: parameters and the nets at its ports."""

    module: str
    name: str
    parameters: dict[str, Value]
    ports: dict[str, str]


@dataclass
class Module:
    """A module: ports, widths of its wires, what drives each net, instances."""

    name: str
    ports: dict[str, Port] = field(default_factory=dict)
    wires: dict[str, int] = field(default_factory=dict)
    drivers: dict[str, str] = field(default_factory=dict)
    instances: list[Instance] = field(default_factory=list)

    def width(self, net: str) -> int | None:
        """Bits of a wire or port, None of neither."""
        if net in self.ports:
            return self.ports[net].width
        return self.wires.get(net)


def read_module(text: str) -> tuple[Module, str]:
    """The first module of a text, and what comes after it.

    Raises:
        VerilogError: something in it is of no form known here.
    """
    head = _HEAD.match(_COMMENT.sub("", text))
    if head is None:
        raise VerilogError("it does not begin with a module and its ports")
    plain = _COMMENT.sub("", text)
    body, found, rest = plain[head.end() :].partition("endmodule")
    if not found:
        raise VerilogError(f"module `{head[1]}` does not end")
    module = Module(head[1])
    for entry in _split(head[2], ","):
        port = _PORT.fullmatch(entry)
        if port is None:
            raise VerilogError(f"`{entry}` is no port")
        _once(module.ports, port[3], Port(port[1], _width(port[2])))
    for statement in _split(body, ";"):
        _read(module, statement)
    return module, rest


def defaults(text: str) -> dict[str, Value]:
    """Parameters of a library module and their defaults."""
    return {name: _value(value) for name, value in _PARAMETER.findall(_COMMENT.sub("", text))}


def preprocessed(text: str, macros: frozenset[str]) -> str:
    """A text after its `ifdef`s (with `else`), for macros that are defined.

    Raises:
        VerilogError: another directive, or one without its counterpart.
    """
    lines, kept = [], [True]
    for line in text.splitlines():
        word = line.split()
        if not word or not word[0].startswith("`"):
            if all(kept):
                lines.append(line)
        elif word[0] == "`ifdef" and len(word) == 2:
            kept.append(word[1] in macros)
        elif word[0] == "`else" and len(kept) > 1:
            kept[-1] = not kept[-1]
        elif word[0] == "`endif" and len(kept) > 1:
            kept.pop()
        else:
            raise VerilogError(f"`{line.strip()}` is no known directive")
    if len(kept) > 1:
        raise VerilogError("an `ifdef` without its `endif`")
    return "\n".join(lines)


def _read(module: Module, statement: str) -> None:
    if driven := _DRIVEN.fullmatch(statement):
        _once(module.wires, driven[2], _width(driven[1]))
        _once(module.drivers, driven[2], driven[3])
    elif wires := _WIRES.fullmatch(statement):
        for name in wires[2].split(", "):
            _once(module.wires, name, _width(wires[1]))
    elif assign := _ASSIGN.fullmatch(statement):
        _once(module.drivers, assign[1], assign[2])
    elif instance := _INSTANCE.fullmatch(statement):
        if any(one.name == instance[3] for one in module.instances):
            raise VerilogError(f"two instances are called `{instance[3]}`")
        parameters = _bindings(instance[2]) if instance[2] else {}
        ports = _bindings(instance[4])
        if not all(isinstance(net, str) for net in ports.values()):
            raise VerilogError(f"instance `{instance[3]}`: a port has a number for a net")
        nets = {port: str(net) for port, net in ports.items()}
        module.instances.append(Instance(instance[1], instance[3], parameters, nets))
    else:
        raise VerilogError(f"`{statement[:80]}` is no statement of a wrapper")


def _bindings(text: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for entry in _split(text, ","):
        binding = _BINDING.fullmatch(entry)
        if binding is None:
            raise VerilogError(f"`{entry}` binds no parameter or port")
        _once(found, binding[1], _value(binding[2]))
    return found


def _value(text: str) -> Value:
    if text.startswith('"'):
        return text[1:-1]
    return text if text[0].isalpha() or text[0] == "_" else int(text)


def _width(highest: str | None) -> int:
    return 1 if highest is None else int(highest) + 1


def _split(text: str, separator: str) -> list[str]:
    parts = [_SPACE.sub(" ", part).strip() for part in text.split(separator)]
    if not parts[-1]:
        parts.pop()
    return parts


def _once(known: dict[str, T], name: str, value: T) -> None:
    if name in known:
        raise VerilogError(f"`{name}` is there twice")
    known[name] = value
