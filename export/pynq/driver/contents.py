"""What a bundle has to say for the driver to work with it: names, types, ranges and sizes.

A package may have been cut short or changed on its way to the board. What is wrong is said here, by
its key, and not where it is used first.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from typing import Any

MAX_BITS = 32
# Elements of a frame, and bytes of its beats: one DMA transfer has to hold a frame.
MOST = 1 << 26
MAX_AXES = 4
# Clock cycles of a frame: hours.
MOST_CYCLES = 1 << 48
# Steps from the file's order of a frame to the stream's, and bits of a raw integer.
MAX_STEPS = 16
MAX_RAW = 16
# Digits of a fraction's two numbers; those of float32 factors have fewer.
FRACTION = re.compile(r"-?[0-9]{1,2000}/[1-9][0-9]{0,1999}")


def check(data: dict[str, Any]) -> None:
    """Check a bundle.

    Raises:
        ValueError: names the first key whose value is missing or wrong.
    """
    for name in ("name", "bitfile", "design_id"):
        _is(isinstance(data.get(name), str), name, "a text")
    _is(re.fullmatch("[0-9a-f]{8}", data["design_id"]), "design_id", "eight hexadecimal digits")
    _inside(data["bitfile"], "bitfile")
    _number(data.get("clock_mhz"), "clock_mhz")
    _whole(data.get("cycles_per_frame"), "cycles_per_frame", 1, MOST_CYCLES)
    for name in ("input", "output"):
        _is(isinstance(data.get(name), dict), name, "an object")
        _stream(data[name], name)
    _input(data["input"])
    check_output(data["output"])
    classes = data.get("classes")
    _is(isinstance(classes, list) and classes, "classes", "a list of names")
    _is(all(isinstance(one, str) for one in classes), "classes", "a list of names")
    if "weights" in data:
        _is(isinstance(data["weights"], dict), "weights", "an object")
        _whole(data["weights"].get("bytes"), "weights.bytes", 1, MOST)
        _whole(data["weights"].get("crc32"), "weights.crc32", 0, (1 << 32) - 1)
    _is(isinstance(data.get("files"), dict), "files", "an object")
    for name, digest in data["files"].items():
        _inside(name, "files")
        _is(isinstance(digest, str), f"files.{name}", "a text")


def _stream(stream: dict[str, Any], name: str) -> None:
    _shape(stream.get("stream_shape"), f"{name}.stream_shape")
    _whole(stream.get("bits"), f"{name}.bits", 1, MAX_BITS)
    _is(isinstance(stream.get("signed"), bool), f"{name}.signed", "true or false")
    for key in ("elements", "per_beat", "beats", "dma_bytes_per_beat"):
        _whole(stream.get(key), f"{name}.{key}", 1, MOST)
    elements = math.prod(stream["stream_shape"])
    _is(stream["elements"] == elements, f"{name}.elements", f"{elements}, as its shape says")
    beats = stream["beats"] * stream["per_beat"]
    _is(beats == elements, f"{name}.beats", f"the beats of {elements} elements")
    used = (stream["bits"] * stream["per_beat"] + 7) // 8
    width = stream["dma_bytes_per_beat"]
    _is(width >= used, f"{name}.dma_bytes_per_beat", f"{used} bytes or more")
    _is(width * stream["beats"] < MOST, f"{name}.beats", "so few that one transfer holds a frame")


def _input(stream: dict[str, Any]) -> None:
    _shape(stream.get("data_shape"), "input.data_shape")
    same = math.prod(stream["data_shape"]) == stream["elements"]
    _is(same, "input.data_shape", f"one of {stream['elements']} elements")
    _whole(stream.get("shift"), "input.shift", 0, 7)
    for name in ("range", "raw_range"):
        limits = stream.get(name)
        _is(isinstance(limits, list) and len(limits) == 2, f"input.{name}", "two integers")
        for one in limits:
            _whole(one, f"input.{name}", -(1 << MAX_BITS), 1 << MAX_BITS)
        _is(limits[0] <= limits[1], f"input.{name}", "two integers in order")
    least = -(1 << (stream["bits"] - 1)) if stream["signed"] else 0
    most = least + (1 << stream["bits"]) - 1
    legal = least <= stream["range"][0] and stream["range"][1] <= most
    _is(legal, "input.range", f"codes of {stream['bits']} bits")
    _is("scale" in stream, "input.scale", "there")
    if stream["scale"] is not None:
        _number(stream["scale"], "input.scale")
    _is(isinstance(stream.get("preparation"), dict), "input.preparation", "an object")
    _preparation(stream["preparation"], stream["data_shape"])


def _preparation(found: dict[str, Any], shape: list[int]) -> None:
    """As `input_codes.InputPreparation.of_record` takes it."""
    name = "input.preparation"
    _is(found.get("shape") == shape, f"{name}.shape", "that of the data")
    for key in ("lo", "zero"):
        _whole(found.get(key), f"{name}.{key}", -(1 << MAX_BITS), 1 << MAX_BITS)
    for key in ("axis", "scale", "raw"):
        _is(key in found, f"{name}.{key}", "there")
    if found["axis"] is not None:
        _whole(found["axis"], f"{name}.axis", 0, len(shape) - 1)
    _is(isinstance(found.get("falling"), list), f"{name}.falling", "a list of rows")
    for row in found["falling"]:
        _whole(row, f"{name}.falling", 0, MOST)
    layout = found.get("layout")
    _is(isinstance(layout, list) and len(layout) <= MAX_STEPS, f"{name}.layout", "a list of steps")
    for step in layout:
        pair = isinstance(step, list) and len(step) == 2 and step[0] in ("reshape", "transpose")
        _is(pair and isinstance(step[1], list), f"{name}.layout", "a list of steps")
        for number in step[1]:
            _whole(number, f"{name}.layout", 0, MOST)
    if found["scale"] is not None:
        _fraction(found["scale"], f"{name}.scale")
    if found["raw"] is not None:
        raw = found["raw"]
        _is(isinstance(raw, dict), f"{name}.raw", "an object")
        for key in ("lo", "hi", "zero"):
            _whole(raw.get(key), f"{name}.raw.{key}", -(1 << MAX_RAW), 1 << MAX_RAW)
        _fraction(raw.get("scale"), f"{name}.raw.scale")


def check_output(stream: dict[str, Any]) -> None:
    """What the results mean.

    Raises:
        ValueError: names the key whose value is missing or wrong.
    """
    _is(stream.get("kind") in ("logits", "class"), "output.kind", "`logits` or `class`")
    channels = stream["stream_shape"][-1]
    parts = stream.get("parts")
    _is(isinstance(parts, list), "output.parts", "a list of outputs")
    for part in parts:
        named = isinstance(part, dict) and isinstance(part.get("name"), str)
        _is(named, "output.parts", "a list of outputs")
        _whole(part.get("channels"), "output.parts", 1, channels)
    total = sum(part["channels"] for part in parts)
    _is(not parts or total == channels, "output.parts", f"outputs of {channels} channels together")
    for name in ("gain", "offset"):
        values = stream.get(name)
        fractions = isinstance(values, list) and all(
            isinstance(one, str) and FRACTION.fullmatch(one) for one in values
        )
        _is(fractions, f"output.{name}", "a list of fractions")
        # Classes are no logits: their stream has one channel, whatever the logits are.
        fits = len(values) in (1, channels) or (values and stream["kind"] == "class")
        _is(fits, f"output.{name}", f"one fraction, or {channels}")


def _shape(value: Any, name: str) -> None:
    _is(isinstance(value, list) and 1 <= len(value) <= MAX_AXES, name, "a list of sizes")
    for size in value:
        _whole(size, name, 1, MOST)


def _whole(value: Any, name: str, least: int, most: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    _is(whole and least <= value <= most, name, f"an integer from {least} to {most}")


def _number(value: Any, name: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    _is(number and 0 < value < 1e12, name, "a positive number")


def _fraction(value: Any, name: str) -> None:
    _is(isinstance(value, str) and FRACTION.fullmatch(value), name, "a fraction")


def _inside(value: Any, name: str) -> None:
    path = PurePosixPath(value)
    inside = value and "\x00" not in value and not path.is_absolute() and ".." not in path.parts
    _is(inside, name, "a path inside the package")


def _is(right: Any, name: str, expected: str) -> None:
    if not right:
        raise ValueError(f"`{name}` is not {expected}")
