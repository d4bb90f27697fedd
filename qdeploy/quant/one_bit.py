"""One-bit unsigned activations, exported as what they are.

Brevitas 0.13 exports every one-bit quantizer as QONNX `BipolarQuant`, whose values are -Δ and +Δ;
unsigned codes are 0 and 1. A proxy class of our own lets Brevitas' exporter find the handler below,
which writes an ordinary unsigned `Quant` node.
"""

from __future__ import annotations

from typing import Any

from brevitas.export.onnx.qonnx.function import BrevitasQuantOp
from brevitas.export.onnx.qonnx.handler import BrevitasActQuantProxyHandler
from brevitas.export.onnx.qonnx.manager import QONNXManager
from brevitas.proxy import ActQuantProxyFromInjector


class OneBitActProxy(ActQuantProxyFromInjector):
    """Brevitas' proxy under another name; give it to an injector as `proxy_class`."""


class OneBitActHandler(BrevitasActQuantProxyHandler):
    """Exports an `OneBitActProxy` as an unsigned `Quant`."""

    handled_layer = OneBitActProxy

    def prepare_for_export(self, module: Any) -> None:
        """Collect what the node needs; called by Brevitas."""
        super().prepare_for_export(module)
        self.quant_op = BrevitasQuantOp


# Ahead of the handler of the base class, in case Brevitas looks for subclasses.
if OneBitActHandler not in QONNXManager.handlers:
    QONNXManager.handlers.insert(0, OneBitActHandler)
