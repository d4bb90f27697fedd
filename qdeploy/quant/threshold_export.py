"""Export of learned thresholds as QONNX `MultiThreshold`.

With a proxy class of our own, Brevitas' exporter finds the handler below, as for `one_bit`.
"""

from __future__ import annotations

from typing import Any

import torch
from brevitas.export.onnx.handler import ONNXBaseHandler
from brevitas.export.onnx.qonnx.function import DOMAIN_STRING
from brevitas.export.onnx.qonnx.manager import QONNXManager
from brevitas.proxy import ActQuantProxyFromInjector


class ThresholdActProxy(ActQuantProxyFromInjector):
    """Brevitas' proxy under another name; passed to an injector as `proxy_class`."""


class MultiThreshold(torch.autograd.Function):
    """step · #{k : x >= thresholds[0, k]}, one node in a file."""

    @staticmethod
    def symbolic(g: Any, x: Any, thresholds: Any, step: float, bits: int) -> Any:
        """The node; called by the exporter."""
        made = g.op(
            f"{DOMAIN_STRING}::MultiThreshold",
            x,
            thresholds,
            out_dtype_s=f"UINT{bits}",
            out_scale_f=step,
            out_bias_f=0.0,
        )
        made.setType(x.type())
        return made

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, thresholds: torch.Tensor, step: float, bits: int
    ) -> torch.Tensor:
        """The values, of the shape of `x`."""
        reached = torch.bucketize(x, thresholds[0], right=True)
        return reached.to(x.dtype) * step


class _Op:
    torchscript = MultiThreshold


class ThresholdActHandler(ONNXBaseHandler):
    """Exports a `ThresholdActProxy`."""

    handled_layer = ThresholdActProxy

    def prepare_for_export(self, module: Any) -> None:
        """Collect what the node holds; called by Brevitas."""
        quantizer = module.fused_activation_quant_proxy.tensor_quant
        self.thresholds = quantizer.int_quant.segments.thresholds().reshape(1, -1)
        self.returned = module.scale(), module.zero_point(), module.bit_width()

    def symbolic_execution(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Values, scale, zero point and bit width, as a proxy returns them."""
        scale, _, bits = self.returned
        y = self.export_op(_Op, x, self.thresholds, scale.item(), int(bits.item()))
        return y, *self.returned


if ThresholdActHandler not in QONNXManager.handlers:
    QONNXManager.handlers.insert(0, ThresholdActHandler)
