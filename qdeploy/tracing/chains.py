"""What a module or a function of a person's network is made of, or why it is refused."""

from __future__ import annotations

from torch import nn

from qdeploy.tracing.operations import Kind

# One operation after the other; the first reads what the module reads.
Chain = list[tuple[Kind, nn.Module]]
Shape = tuple[int, ...]


class RefusedError(Exception):
    """Why an operation cannot be quantized, and what to do if that is more than another layer."""

    def __init__(self, why: str, do: str | None = None) -> None:
        super().__init__(why)
        self.why, self.do = why, do


def check_weight(module: nn.Module) -> None:
    """Whether the weights of a layer are a parameter.

    Raises:
        RefusedError: they are not.
    """
    if not isinstance(module._parameters.get("weight"), nn.Parameter):
        raise RefusedError(
            "its weights are computed from other parameters",
            "remove that before: torch.nn.utils.parametrize.remove_parametrizations(layer, "
            "'weight'), or torch.nn.utils.remove_weight_norm(layer)",
        )
