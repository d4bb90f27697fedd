"""Bit widths by layer, and those that a phase has in place of the recipe's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from qdeploy.recipe.section import Section

Width = Annotated[int, Field(ge=1, le=8)] | Literal["float"]
# Keys of the section `quantization` that a phase may change, but for single layers.
WIDTHS = ("weight_bits", "activation_bits", "residual_bits", "first_layer_bits", "last_layer_bits")
FLOAT = 32
S = TypeVar("S", bound=Section)


class LayerBits(Section):
    """Bit widths of the layers whose names match a pattern; a width that is not given is kept."""

    weight_bits: Width | None = Field(default=None, description="weights")
    activation_bits: Width | None = Field(
        default=None,
        description="the activation quantizer of that name; 2 or more where it is signed",
    )


class PhaseBits(Section):
    """Bit widths during a phase, where they differ from those of the recipe, which the last phase
    has. From phase to phase they may only go down."""

    weight_bits: Width | None = Field(default=None, description="as in `quantization`")
    activation_bits: Width | None = Field(default=None, description="as in `quantization`")
    residual_bits: int | None = Field(default=None, ge=2, le=8, description="as in `quantization`")
    first_layer_bits: int | None = Field(
        default=None, ge=1, le=8, description="as in `quantization`"
    )
    last_layer_bits: int | None = Field(
        default=None, ge=1, le=8, description="as in `quantization`"
    )
    layers: dict[str, LayerBits] = Field(
        default_factory=dict, description="individual layers, after those of `quantization`"
    )


def with_bits(quantization: S, bits: PhaseBits | None) -> S:
    """A section `quantization` with what a phase changes in it."""
    if bits is None:
        return quantization
    given = {key: getattr(bits, key) for key in WIDTHS if getattr(bits, key) is not None}
    layers: dict[str, LayerBits] = dict(getattr(quantization, "layers"))  # noqa: B009
    for pattern, own in bits.layers.items():
        before = layers.pop(pattern, LayerBits())
        layers[pattern] = before.model_copy(update=own.model_dump(exclude_none=True))
    return quantization.model_copy(update={**given, "layers": layers})


def check_bits_fall(before: Section, after: Section, phases: tuple[str, str]) -> None:
    """Refuse widths of a phase that are larger than in the phase before it.

    Args:
        before, after: their sections `quantization`.
        phases: their names.

    Raises:
        ValueError: a sentence with both.
    """
    for key in WIDTHS:
        old, new = getattr(before, key), getattr(after, key)
        if number(new) > number(old):
            raise ValueError(
                f"bits may only go down from phase to phase: `{key}` is {old} in the phase "
                f"`{phases[0]}` and {new} in `{phases[1]}`, which continues with its network; "
                "where a phase gives none, it has those of the recipe's `quantization`"
            )


def check_last_bits(own: Mapping[str, object], last: Mapping[str, object], phase: str) -> None:
    """Refuse a last phase whose widths are not those of the recipe.

    Args:
        own, last: the recipe's section `quantization`, and that of the last phase, as data.
        phase: its name.

    Raises:
        ValueError: a sentence with both.
    """
    for key, value in own.items():
        if last[key] != value:
            raise ValueError(
                f"the last phase, `{phase}`, has {key} {last[key]}, but the recipe's "
                f"`quantization` has {value}, which is what is exported: give the last phase no "
                "bits of its own"
            )


def number(width: int | str) -> int:
    """A width to compare with others."""
    return FLOAT if isinstance(width, str) else width
