"""Export of one-bit unsigned activations.

Brevitas 0.13 exports every one-bit quantizer as QONNX `BipolarQuant`, whose values are -Δ and +Δ,
but unsigned codes are 0 and 1. With a proxy class of our own, Brevitas' exporter finds the handler
below, which writes an ordinary unsigned `Quant` node.
"""

from __future__ import annotations

from typing import Any

from brevitas.export.onnx.qonnx.function import BrevitasQuantOp
from brevitas.export.onnx.qonnx.handler import BrevitasActQuantProxyHandler
from brevitas.export.onnx.qonnx.manager import QONNXManager
from brevitas.proxy import ActQuantProxyFromInjector


class OneBitActProxy(ActQuantProxyFromInjector):
    """Brevitas' proxy under another name; passed to an injector as `proxy_class`."""


class OneBitActHandler(BrevitasActQuantProxyHandler):
    """Exports a `OneBitActProxy` as an unsigned `Quant`."""

    handled_layer = OneBitActProxy

    def prepare_for_export(self, module: Any) -> None:
        """Collect the attributes of the node; called by Brevitas."""
        super().prepare_for_export(module)
        self.quant_op = BrevitasQuantOp


# Before the handler of the base class, in case Brevitas also accepts subclasses.
if OneBitActHandler not in QONNXManager.handlers:
    QONNXManager.handlers.insert(0, OneBitActHandler)
