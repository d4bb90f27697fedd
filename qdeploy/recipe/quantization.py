"""The recipe's section `quantization`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from qdeploy.recipe.bits import LayerBits, Width
from qdeploy.recipe.quantization_rules import check_quantization
from qdeploy.recipe.section import Section


class Quantization(Section):
    """Bit widths and scales. Weights are signed, activations after a ReLU unsigned, residual
    streams and linear bottlenecks signed."""

    weight_bits: Width = Field(
        default=2,
        description="weights of the inner layers; 1 is binary, ±Δ; `float` keeps all weights of "
        "the network in float",
    )
    activation_bits: Width = Field(
        default=2,
        description="activations after each ReLU; `float` keeps them, residual additions and "
        "linear bottlenecks in float",
    )
    residual_bits: int = Field(
        default=8,
        ge=2,
        le=8,
        description="both branches of a residual addition, and linear bottlenecks",
    )
    first_layer_bits: int = Field(default=8, ge=1, le=8, description="weights of the first layer")
    last_layer_bits: int = Field(default=8, ge=1, le=8, description="weights of the last layer")
    input_bits: int = Field(
        default=8,
        ge=1,
        le=8,
        description="of an input code: the most significant bits of raw bytes, or all codes of "
        "real values (`data.bits`)",
    )
    layers: dict[str, LayerBits] = Field(
        default_factory=dict,
        description="bit widths of individual layers by name pattern, such as `group2.*`; where "
        "several match, the last one wins",
    )
    scale: Literal["float", "power_of_two"] = Field(
        default="float", description="values allowed for every learned scale"
    )
    weight_scaling: Literal["per_layer", "per_channel"] = Field(
        default="per_layer",
        description="one weight scale per layer or per output channel; the last layer always has "
        "one",
    )
    weight_levels: Literal["symmetric", "all", "power_of_two", "apot"] = Field(
        default="symmetric",
        description="levels with b bits: 2**b - 1, symmetric (ternary with 2 bits); all 2**b (4 "
        "with 2 bits: -2 to 1); 2**b - 1 powers of two with 3 or 4 bits, or sums of two of them "
        "with 3 to 5 (APoT), where layers of other widths are symmetric",
    )
    weight_init: Literal["mse", "statistics"] = Field(
        default="mse",
        description="initial scale of the weights: least squared error, or the largest magnitude",
    )
    weight_step: Literal["learned", "fixed"] = Field(
        default="fixed",
        description="weight scales stay as set by `weight_init`, or are trained together with the "
        "weights (LSQ)",
    )
    weight_gradient_scaling: float = Field(
        default=0.0,
        ge=0,
        le=2,
        description="δ of element-wise gradient scaling (EWGS): gradients that move a weight away "
        "from the value of its code are enlarged, those that move it back are reduced, by up to "
        "δ/2; 0 is the straight-through gradient",
    )
    clip_gradient: Literal["step", "pact"] = Field(
        default="pact",
        description="gradient of an activation's clipping value: `step` includes rounding errors "
        "(LSQ), `pact` clipped values only (PACT, eq. 3)",
    )
    activation_thresholds: Literal["uniform", "learned"] = Field(
        default="uniform",
        description="where codes of activations after a ReLU begin: at multiples of their scale, "
        "or, for up to 4 bits, at thresholds that are trained (N2UQ); codes stay uniform",
    )

    weight_normalization: Literal["none", "entropy"] = Field(
        default="none",
        description="`entropy`: the scale of inner layers of up to 4 bits follows the mean "
        "magnitude of their weights, so that all levels are used about as often (N2UQ), in the "
        "place of `weight_init` and `weight_step`",
    )

    @model_validator(mode="after")
    def _options_agree(self) -> Quantization:
        check_quantization(self.model_dump())
        return self
