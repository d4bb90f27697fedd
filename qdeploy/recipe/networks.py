"""The recipe's section `network`: its class depends on `type`, and other packages may add types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticKnownError

from qdeploy.recipe.data import Task
from qdeploy.recipe.section import Section
from qdeploy.registry import Registry


class NetworkSection(Section):
    """Base of the section of every network."""

    type: str = Field(description="the family of networks")


@dataclass(frozen=True)
class NetworkSpec:
    """A family of networks.

    Args:
        section: class of the recipe's section.
        build: `module:function`, imported when a network is built, so that recipes are read without
            torch. The function is called with (section, make, input_shape, classes):
            `make` is a `qdeploy.quant.layers.LayerFactory`, which makes the layers whose bit widths
            the recipe gives, and `input_shape` (channels, height, width). It returns an
            `nn.Module` as described in `qdeploy.networks.from_recipe`.
        task: what it gives logits for: each image, or each pixel.
    """

    section: type[NetworkSection]
    build: str
    task: Task = "classification"


NETWORKS = Registry[NetworkSpec](
    "network",
    "qdeploy.networks",
    NetworkSpec,
    {
        "fcdnn": "qdeploy.networks.sections:FCDNN",
        "convnet": "qdeploy.networks.sections:CONVNET",
        "resnet": "qdeploy.networks.sections:RESNET",
        "mobilenetv2": "qdeploy.networks.sections:MOBILENET_V2",
        "deeplab": "qdeploy.networks.sections:DEEPLAB",
        "traced": "qdeploy.networks.sections:TRACED",
    },
    plugin="qdeploy.networks.sections:PYTHON",
)


def network_section(given: object) -> type[NetworkSection]:
    """The class for a section as read from a file; the base where its type is missing or unknown.

    Raises:
        UserError: as `Registry.load`.
    """
    name = given.get("type") if isinstance(given, Mapping) else None
    if not isinstance(name, str) or name not in NETWORKS:
        return NetworkSection
    return NETWORKS.load(name).section


def _validated(given: Any, as_base: ValidatorFunctionWrapHandler) -> NetworkSection:
    section = network_section(given)
    if section is not NetworkSection:
        return section.model_validate(given)
    if isinstance(given, NetworkSection):
        return given
    if not isinstance(given, Mapping):
        raise PydanticKnownError("model_attributes_type")
    context = {"discriminator": "'type'"}
    if "type" not in given:
        raise PydanticKnownError("union_tag_not_found", context)
    known = ", ".join(f"'{name}'" for name in NETWORKS.names())
    context |= {"tag": str(given["type"]), "expected_tags": known}
    raise PydanticKnownError("union_tag_invalid", context)


Network = Annotated[SerializeAsAny[NetworkSection], WrapValidator(_validated)]
