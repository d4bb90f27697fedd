"""Channels first: transposes and wrapped axes sink through a network until they are gone.

Keras' exporters and QONNX's channels-last form keep maps as (N, H, W, C) and transpose around each
convolution; others wrap vectors as (N, F, 1) for a batch norm. Each such tensor is followed as a
view (`views.py`) of one in the order of the hardware. Element-wise nodes work on that one, their
constants rearranged; a Flatten takes it as it is, and the rows of the next layer's weights change
places. Where a node needs the arrangement itself, the transpose is written again.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper

from qdeploy.lowering.canonical.arrangements import (
    ELEMENTWISE,
    WRAPPING,
    arranges,
    at_first_layer,
    joined_axis,
    no_order,
    other_order,
    perm_of,
)
from qdeploy.lowering.canonical.edit import Array, Edit, attribute, integers
from qdeploy.lowering.canonical.passes import Pass, PassResult
from qdeploy.lowering.canonical.qonnx_functions import infer_shapes, threshold_axis
from qdeploy.lowering.canonical.raw_part import raw_tensors
from qdeploy.lowering.canonical.views import View

_PER_CHANNEL = ("BatchNormalization",)
# Of thresholds that are per channel: layouts with the channels on an axis, by rank and axis.
_LAYOUTS = {(2, 1): "NC", (3, 1): "NCW", (3, 2): "NWC", (4, 1): "NCHW", (4, 3): "NHWC"}
_WEIGHTED = ("MatMul", "Gemm")


class ChannelsFirst(Pass):
    """Transposes and axes of size 1 sink until they meet their counterpart or a Flatten."""

    def call(self, model: ModelProto) -> PassResult:
        sequence = len(model.graph.input[0].type.tensor_type.shape.dim) == 3
        if not sequence and not any(arranges(node) for node in model.graph.node):
            return PassResult(model, False)
        walk = _Walk(model)
        if not walk.run():
            return PassResult(model, False)
        return PassResult(infer_shapes(model), True)


class _Walk:
    def __init__(self, model: ModelProto) -> None:
        self.model, self.edit, self.raw = model, Edit(model), raw_tensors(model)
        self.views: dict[str, View] = {}
        # Vectors whose features are in another order: index of each in the one that is computed.
        self.orders: dict[str, tuple[str, Array]] = {}
        self.nodes: list[NodeProto] = []
        self.written: dict[tuple[str, tuple[int | None, ...]], str] = {}
        self.changed = False
        # Nodes that bring the input into another arrangement.
        self.turned = 0

    def run(self) -> bool:
        """Walk over the file and replace its nodes; whether anything changed."""
        self._turn_input()
        for node in self.edit.nodes:
            self._visit(NodeProto.FromString(node.SerializeToString()))
        if not self.changed:
            return False
        for item in self.model.graph.output:
            if item.name in self.views or item.name in self.orders:
                last = self._plain(item.name)
                self.nodes.append(helper.make_node("Identity", [last], [item.name], last + "_end"))
        # Where all that sank is written again, the file stays as it is.
        now, before = (sum(map(arranges, nodes)) for nodes in (self.nodes, self.edit.nodes))
        if now - self.turned >= before + bool(self.turned):
            return False
        del self.model.graph.node[:]
        self.model.graph.node.extend(self.nodes)
        return True

    def _turn_input(self) -> None:
        """A frame that its first layer reads in another arrangement is brought there first of all.

        Maps that come as (N, H, W, C), sequences (N, C, L) and (N, L, C).
        """
        name = self.model.graph.input[0].name
        seen = at_first_layer(self.edit, name)
        if seen is None or seen.is_plain or len(seen.axes) not in (2, 4):
            return
        base, shape, perm = name, seen.shown, seen.order if seen.moves else sorted(seen.order)
        if seen.moves:
            base = f"{name}_planes"
            self.nodes.append(helper.make_node("Transpose", [name], [base], base, perm=perm))
        if shape != tuple(seen.shape[axis] for axis in perm):
            before, base = base, f"{name}_rows"
            target = np.array([0, *shape[1:]], np.int64)
            stored = self.edit.add_constant(f"{base}_shape", target)
            self.nodes.append(helper.make_node("Reshape", [before, stored], [base], base))
        places = {axis: place for place, axis in enumerate(seen.axes) if axis is not None}
        self.views[name] = View(base, shape, tuple(places.get(k) for k in range(len(perm))))
        self.changed, self.turned = True, len(self.nodes)

    def _visit(self, node: NodeProto) -> None:
        moved = [name for name in node.input if name in self.views or name in self.orders]
        if node.op_type == "Transpose" and not self.edit.is_constant(node.input[0]):
            if self._constant_behind(node.input[0]) or self._raw(node):
                self.nodes.append(node)
                return
            view = self._view(node.input[0])
            self._see(node.output[0], view.transposed(perm_of(node, len(view.axes))))
        elif (node.op_type in WRAPPING and self._wrap(node)) or (moved and self._sinks(node)):
            return
        else:
            for name in moved:
                self._check_order(node, name)
            node.input[:] = [self._plain(name) for name in node.input]
            self.nodes.append(node)

    def _check_order(self, node: NodeProto, name: str) -> None:
        """Refuse a node that needs a map with its axes in another order.

        Raises:
            UnsupportedLayerError: it does, and the map is not the raw input.
        """
        view = self.views.get(name)
        if view is not None and view.moves and view.base not in self.raw:
            raise other_order(node, name, view)

    def _sinks(self, node: NodeProto) -> bool:
        """Write a node that reads views so that it reads their bases."""
        if node.op_type in ELEMENTWISE:
            return self._elementwise(node)
        if node.op_type in ("Flatten", "Reshape"):
            return self._flatten(node)
        if node.op_type in _WEIGHTED:
            return self._reorder(node)
        if node.op_type == "Concat":
            return self._join(node)
        return node.op_type == "ReduceMean" and self._mean(node)

    def _view(self, name: str) -> View:
        shape = self.edit.shape(name)
        return self.views.get(name) or View(name, shape, tuple(range(len(shape))))

    def _see(self, name: str, view: View) -> None:
        self.changed = True
        self.views[name] = view

    def _constant_behind(self, name: str) -> bool:
        """Whether a tensor is computed from constants alone."""
        while (node := self.edit.producer(name)) is not None:
            name = node.input[0]
        return self.edit.is_constant(name)

    def _raw(self, node: NodeProto) -> bool:
        """Whether a Transpose turns the file's input: it stays, first of all."""
        first = node.input[0] == self.model.graph.input[0].name
        return first and node.input[0] not in self.views

    def _wrap(self, node: NodeProto) -> bool:
        """A reshape that adds or drops axes of size 1 around a vector, or around a view."""
        name = node.input[0]
        shape = self.edit.shape(node.output[0])
        if self.edit.is_constant(name) or self._constant_behind(name) or not shape:
            return False
        known = name in self.views
        if name in self.orders or (name == self.model.graph.input[0].name and not known):
            return False
        view = self._view(name)
        vector = sum(size != 1 for size in view.shape[1:]) <= 1 and len(view.shape) == 2
        sequence = len(view.shape) == 4 and (known or len(shape) == 3)
        if not (known or sequence or (vector and len(shape) != 2)):
            return False
        seen = view.reshaped(shape)
        if seen is None or not (vector or sequence or seen.is_plain):
            return False
        self._see(node.output[0], seen)
        return True

    def _plain(self, name: str) -> str:
        """A tensor itself, its arrangement written as nodes."""
        if name in self.orders:
            base, order = self.orders[name]
            raise no_order(name, base, order)
        view = self.views.get(name)
        if view is None:
            return name
        if view.is_plain:
            return view.base
        key = view.base, view.axes
        if key not in self.written:
            self.written[key] = self._write(name, view)
        return self.written[key]

    def _write(self, name: str, view: View) -> str:
        axes, made = view.order, view.base
        if view.moves:
            source, made = made, f"{name}_turned"
            self.nodes.append(helper.make_node("Transpose", [source], [made], made, perm=axes))
        else:
            axes = sorted(axes)
        shape = tuple(view.shape[axis] for axis in axes)
        if shape == view.shown:
            return made
        source, made = made, f"{name}_shaped"
        dropped = [k for k in range(len(axes)) if axes[k] not in view.axes]
        added = [k for k, axis in enumerate(view.axes) if axis is None]
        kind, numbers = "Reshape", list(view.shown)
        if not (dropped and added):
            kind, numbers = ("Squeeze", dropped) if dropped else ("Unsqueeze", added)
        stored = self.edit.add_constant(f"{made}_shape", np.array(numbers, np.int64))
        self.nodes.append(helper.make_node(kind, [source, stored], [made], made))
        return made

    def _elementwise(self, node: NodeProto) -> bool:
        """Compute on the base of the one view that all inputs share."""
        active = [name for name in node.input if name and not self.edit.is_constant(name)]
        if any(name in self.orders for name in active):
            return self._elementwise_order(node, active)
        views = [self._view(name) for name in active]
        first = views[0]
        if any(view.axes != first.axes or view.shape != first.shape for view in views):
            return False
        if node.op_type in _PER_CHANNEL and (len(first.axes) < 2 or first.axes[1] != 1):
            return False
        thresholds = node.op_type == "MultiThreshold"
        if thresholds and not self._turn_thresholds(node, first):
            return False
        names = {name: view.base for name, view in zip(active, views, strict=True)}
        for name in node.input:
            value = self.edit.constant(name) if name else None
            if value is None or thresholds or node.op_type in _PER_CHANNEL:
                continue
            rearranged = first.constant(value)
            if rearranged is None:
                return False
            if value.size > 1:
                names[name] = self.edit.add_constant(f"{name}_planes", rearranged)
        if any(item.name == "axis" for item in node.attribute):
            _turn_axis(node, first)
        output, made = node.output[0], f"{node.output[0]}_planes"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[0] = made
        self.nodes.append(node)
        self._see(output, first.of(made, first.shape))
        return True

    def _turn_thresholds(self, node: NodeProto, view: View) -> bool:
        """Say on which axis of the base a MultiThreshold's channels are; whether there is one."""
        table = self.edit.constant(node.input[1])
        axis = view.axes[threshold_axis(node, len(view.axes))]
        if table is not None and table.shape[:1] == (1,):
            axis = 1
        layout = _LAYOUTS.get((len(view.shape), -1 if axis is None else axis))
        if layout is None or table is None:
            return False
        for item in [item for item in node.attribute if item.name == "data_layout"]:
            node.attribute.remove(item)
        node.attribute.append(helper.make_attribute("data_layout", layout))
        return True

    def _elementwise_order(self, node: NodeProto, active: list[str]) -> bool:
        """An element-wise node on a vector whose features are in another order."""
        if len(active) != 1 or node.op_type in _PER_CHANNEL:
            return False
        base, order = self.orders[active[0]]
        names = {active[0]: base}
        for name in node.input:
            value = self.edit.constant(name) if name else None
            rows = node.op_type == "MultiThreshold"
            if value is not None and value.size > 1 and not (rows and len(value) == 1):
                if value.shape[0 if rows else -1] != order.size:
                    return False
                back = np.empty_like(value)
                back[order if rows else (..., order)] = value
                names[name] = self.edit.add_constant(f"{name}_ordered", back)
        output, made = node.output[0], f"{node.output[0]}_ordered"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[0] = made
        self.nodes.append(node)
        self.orders[output] = made, order
        return True

    def _join(self, node: NodeProto) -> bool:
        """Join the bases of views that are arranged alike."""
        views = [self._view(name) for name in node.input]
        place = joined_axis(views, int(attribute(node, "axis", 1)))
        if place is None or any(self.edit.is_constant(view.base) for view in views):
            return False
        made, bases = f"{node.output[0]}_planes", [view.base for view in views]
        self.nodes.append(helper.make_node("Concat", bases, [made], node.name, axis=place))
        sizes = [sum(view.shape[place] for view in views)]
        shape = (*views[0].shape[:place], *sizes, *views[0].shape[place + 1 :])
        self._see(node.output[0], views[0].of(made, shape))
        return True

    def _flatten(self, node: NodeProto) -> bool:
        """Flatten the base; the features are in another order then."""
        view = self.views.get(node.input[0])
        shape = self.edit.shape(node.output[0])
        if view is None or len(shape) != 2 or shape[0] != view.shape[0] or view.axes[0] != 0:
            return False
        made = f"{node.output[0]}_flat"
        self.nodes.append(helper.make_node("Flatten", [view.base], [made], node.name, axis=1))
        order = view.features()
        if (np.diff(order) == 1).all():
            self._see(node.output[0], View(made, shape, (0, 1)))
        else:
            self.orders[node.output[0]] = made, order
        return True

    def _reorder(self, node: NodeProto) -> bool:
        """A layer takes the features in the order that is computed: rows change places."""
        if node.input[0] not in self.orders:
            return False
        base, order = self.orders[node.input[0]]
        axis = 1 if attribute(node, "transB", 0) else 0
        weights = self._rows(node.input[1], order, axis)
        if weights is None:
            return False
        node.input[0], node.input[1] = base, weights
        self.nodes.append(node)
        return True

    def _rows(self, name: str, order: Array, axis: int) -> str | None:
        """Weights with rows in the order of the base, quantized as before."""
        value = self.edit.constant(name)
        if value is not None:
            if value.ndim != 2 or value.shape[axis] != order.size:
                return None
            back = np.empty_like(value)
            index = (order, slice(None)) if axis == 0 else (slice(None), order)
            back[index] = value
            return self.edit.add_constant(f"{name}_rows", back)
        source = self.edit.producer(name)
        if source is None or source.op_type not in (*ELEMENTWISE, "Transpose"):
            return None
        if source.op_type == "Transpose":
            axis = 1 - axis
        copy = NodeProto.FromString(source.SerializeToString())
        first = self._rows(source.input[0], order, axis)
        if first is None:
            return None
        copy.input[0] = first
        for place in range(1, len(copy.input)):
            other = self.edit.constant(copy.input[place])
            if other is not None and other.ndim == 2 and other.shape[axis] == order.size:
                moved = self._rows(copy.input[place], order, axis)
                assert moved is not None
                copy.input[place] = moved
        copy.output[0] = f"{name}_rows{len(self.nodes)}"
        copy.name = f"{copy.name}_rows" if copy.name else ""
        self.nodes.append(copy)
        return copy.output[0]

    def _mean(self, node: NodeProto) -> bool:
        """A mean over height and width, whichever axes they are."""
        view = self.views.get(node.input[0])
        axes = integers(self.edit, node, "axes", 1)
        if view is None or axes is None:
            return False
        inner = {view.axes[axis % len(view.axes)] for axis in axes}
        keep = bool(attribute(node, "keepdims", 1))
        output = node.output[0]
        if len(view.shape) != 4 or not inner <= {2, 3, None}:
            return False
        if any(view.shape[axis] != 1 for axis in {2, 3} - inner):
            return False
        if not keep and len(view.axes) - len(axes) != 2:
            return False
        made = f"{output}_mean"
        self.nodes.append(helper.make_node("GlobalAveragePool", [view.base], [made], node.name))
        shape = (*view.shape[:2], 1, 1)
        if keep:
            self._see(output, view.of(made, shape))
            return True
        self.nodes.append(
            helper.make_node("Flatten", [made], [f"{made}_flat"], f"{node.name}Flatten", axis=1)
        )
        self._see(output, View(f"{made}_flat", shape[:2], (0, 1)))
        return True


def _turn_axis(node: NodeProto, view: View) -> None:
    """The axis of scales per channel, in the base."""
    for item in node.attribute:
        if item.name == "axis":
            axis = view.axes[item.i % len(view.axes)]
            item.i = 0 if axis is None else axis
