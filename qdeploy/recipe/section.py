"""What all sections of a recipe have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from qdeploy.registry import Registry


class Section(BaseModel):
    """Base of all sections: unknown keys are mistakes, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


@dataclass(frozen=True)
class NameIn:
    """Annotation of a field that takes the names in a registry."""

    registry: Registry[Any]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._known, handler(source))

    def _known(self, given: object) -> object:
        if given not in self.registry:
            expected = ", ".join(f"'{name}'" for name in self.registry.names())
            raise PydanticKnownError("literal_error", {"expected": expected})
        return given
