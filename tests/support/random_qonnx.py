"""Random QONNX files of the supported layers.

Activations are computed along the way on a few frames, so that every quantizer's scale spreads its
codes: a network whose codes are all zero proves nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from qonnx_writer import QonnxWriter, Value, Weights
from torch.nn import functional as F

from qdeploy.lowering.canonical.affine_nodes import affine_of_batch_norm

EPSILON = 1e-5
# After such a gain a step of the accumulator passes several thresholds at once.
HUGE = 64.0


class QonnxMaker(QonnxWriter):
    """Layers, each on the tensor made last."""

    def conv(
        self,
        channels: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (1, 1, 1, 1),
        dilation: tuple[int, int] = (1, 1),
        weights: Weights | None = None,
        groups: int = 1,
        bias: bool = False,
    ) -> QonnxMaker:
        """`groups` divides both numbers of channels; with as many as channels it is depthwise."""
        source, name = self.now, self.name("conv")
        shape = (channels, source.channels // groups, *kernel)
        inputs = [source, self.weight(f"{name}.weight", shape, weights or Weights())]
        top, left, bottom, right = pads
        padded = F.pad(source.data, (left, right, top, bottom))
        out = F.conv2d(padded, inputs[1].data, None, stride, 0, dilation, groups)
        if bias:
            inputs.append(self._bias(f"{name}.bias", channels, out))
            out = out + inputs[2].data.reshape(1, -1, 1, 1)
        self.now = self.node(
            "Conv",
            name,
            inputs,
            out,
            kernel_shape=list(kernel),
            strides=list(stride),
            pads=list(pads),
            dilations=list(dilation),
            group=groups,
        )
        self._note_conv(source, shape, stride, pads, dilation, groups)
        return self

    def dense(
        self, features: int, weights: Weights | None = None, *, gemm: bool = False
    ) -> QonnxMaker:
        """A MatMul, or a Gemm with bias."""
        source, name = self.now, self.name("fc")
        kind = weights or Weights(8)
        shape = (features, source.channels) if gemm else (source.channels, features)
        weight = self.weight(f"{name}.weight", shape, kind, axis=0 if gemm else 1)
        out = source.data @ (weight.data.T if gemm else weight.data)
        self.features.add("fully connected")
        if not gemm:
            self.now = self.node("MatMul", name, [source, weight], out)
            return self
        bias = self._bias(f"{name}.bias", features, out)
        self.now = self.node("Gemm", name, [source, weight, bias], out + bias.data, transB=1)
        return self

    def norm(self, *, node: bool = False, extreme: bool = False) -> QonnxMaker:
        """Scale and bias per channel; some negative, one zero.

        Args:
            node: a BatchNormalization; its import makes the Mul and the Add.
            extreme: one channel with a huge gain, so that thresholds coincide, one with a tiny
                gain and one with a large bias, so that thresholds are out of reach.
        """
        channels = self.now.channels
        spread = float(self.now.data.std()) + 1e-9
        gain = self.random.uniform(0.5, 2.0, channels) * self.random.choice([1, 1, -1], channels)
        bias = self.random.normal(0, 0.5 * spread, channels)
        if channels > 3:
            gain[self.random.integers(channels)] = 0.0
            self.features.add("channels of zero gain")
        if extreme:
            places = self.random.permutation(channels)
            gain[places[0]] = np.sign(gain[places[0]] + 0.5) * HUGE
            gain[places[1 % channels]] /= HUGE
            bias[places[2 % channels]] += self.random.choice([-8, 8]) * spread
        if node:
            return self._batch_norm(gain, bias)
        if self.powers:
            gain = np.sign(gain) * 2.0 ** np.round(np.log2(np.abs(gain) + 1e-9))
            bias = np.round(8 * bias / self.step(spread)) * self.step(spread) / 8
        self.channelwise("Mul", gain)
        self.channelwise("Add", bias)
        return self

    def times(self, factor: float) -> QonnxMaker:
        """One factor for all channels, as after a residual sum."""
        scale = self.now.scale * factor
        self.channelwise("Mul", np.array([factor]))
        self.now.scale = scale
        return self

    def relu(self) -> QonnxMaker:
        self.now = self.node("Relu", self.name("relu"), [self.now], self.now.data.clamp(min=0))
        return self

    def act(
        self,
        bits: int = 2,
        signed: bool = False,
        scale: float | None = None,
        narrow: bool = False,
    ) -> QonnxMaker:
        """A quantizer whose scale spreads the codes of an ordinary channel, unless it is given."""
        levels = 2 ** (bits - 1) if signed else 2**bits
        rows = self.now.data.transpose(0, 1).reshape(self.now.channels, -1)
        ordinary = float(rows.std(dim=1, correction=0).median()) or float(rows.std())
        step = scale or self.step(2.5 * (ordinary + 1e-6) / max(levels - 1, 1))
        self.now = self.quant(self.now, self.name("act"), step, bits, signed, narrow)
        self.features.add(f"activations of {bits} bits")
        if signed:
            self.features.add("signed activations")
        return self

    def max_pool(
        self,
        kernel: tuple[int, int] = (2, 2),
        stride: tuple[int, int] = (2, 2),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> QonnxMaker:
        top, left, bottom, right = pads
        padded = F.pad(self.now.data, (left, right, top, bottom), value=-float("inf"))
        before, out = self.now, F.max_pool2d(padded, kernel, stride)
        self.now = self.node(
            "MaxPool",
            self.name("pool"),
            [self.now],
            out,
            kernel_shape=list(kernel),
            strides=list(stride),
            pads=list(pads),
        )
        self.now.scale, self.now.signed = before.scale, before.signed
        self.features.add("max-pool")
        if kernel > stride:
            self.features.add("max-pool with overlap")
        if any(pads):
            self.features.add("max-pool with padding")
        return self

    def mark(self) -> Value:
        """The tensor made last, to come back to."""
        return self.now

    def back_to(self, value: Value) -> QonnxMaker:
        """Go on from an earlier tensor: a fork."""
        self.now = value
        return self

    def join(self, other: Value) -> QonnxMaker:
        """Residual addition of two tensors on one grid."""
        scale = self.now.scale
        total = self.now.data + other.data
        self.now = self.node("Add", self.name("add"), [self.now, other], total)
        self.now.scale, self.now.signed = scale, True
        self.features.add("residual")
        return self

    def concat(self, *others: Value) -> QonnxMaker:
        """The channels of the tensor made last, then those of others."""
        parts = [self.now, *others]
        data = torch.cat([part.data for part in parts], dim=1)
        alike = len({part.scale for part in parts}) == 1
        self.features.add("concatenation" if alike else "concatenation of several scales")
        signed = any(part.signed for part in parts)
        self.now = self.node("Concat", self.name("concat"), parts, data, axis=1)
        self.now.scale, self.now.signed = parts[0].scale, signed
        return self

    def upsample(self, factor: tuple[int, int] = (2, 2), **how: str) -> QonnxMaker:
        """Nearest neighbours, by factors or, with `by="sizes"`, by the size of the result."""
        before, name = self.now, self.name("up")
        rows, columns = factor
        data = before.data.repeat_interleave(rows, 2).repeat_interleave(columns, 3)
        empty = Value("", torch.zeros(0))
        if how.pop("by", "scales") == "sizes":
            self.constants[f"{name}.sizes"] = np.array([1, *data.shape[1:]], np.int64)
            more = [empty, empty, Value(f"{name}.sizes", torch.zeros(0))]
        else:
            more = [empty, self.constant(f"{name}.scales", np.array([1, 1, *factor]))]
        self.now = self.node("Resize", name, [before, *more], data, mode="nearest", **how)
        self.now.scale, self.now.signed = before.scale, before.signed
        self.features.add("nearest upsampling")
        return self

    def depth_to_space(self, block: int = 2, mode: str = "CRD") -> QonnxMaker:
        before, name = self.now, self.name("shuffle")
        data = F.pixel_shuffle(before.data, block)
        if mode == "DCR":
            count, channels, height, width = before.data.shape
            parts = before.data.reshape(count, block, block, -1, height, width)
            parts = parts.permute(0, 3, 4, 1, 5, 2)
            shape = (count, channels // block**2, height * block, width * block)
            data = parts.reshape(shape)
        self.now = self.node("DepthToSpace", name, [before], data, blocksize=block, mode=mode)
        self.now.scale, self.now.signed = before.scale, before.signed
        self.features.add("depth to space")
        return self

    def conv_transpose(
        self,
        channels: int,
        kernel: tuple[int, int] = (2, 2),
        stride: tuple[int, int] = (2, 2),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        output_padding: tuple[int, int] = (0, 0),
        weights: Weights | None = None,
        groups: int = 1,
        bias: bool = False,
    ) -> QonnxMaker:
        source, name = self.now, self.name("deconv")
        shape = (source.channels, channels // groups, *kernel)
        # One scale per output channel is one per entry of axis 1, of ungrouped weights only.
        weight = self.weight(f"{name}.weight", shape, weights or Weights(), axis=1)
        whole = F.conv_transpose2d(
            source.data, weight.data, None, stride, 0, output_padding, groups, dilation
        )
        top, left, bottom, right = pads
        height, width = whole.shape[2:]
        out = whole[:, :, top : height - bottom, left : width - right]
        inputs = [source, weight]
        if bias:
            inputs.append(self._bias(f"{name}.bias", channels, out))
            out = out + inputs[2].data.reshape(1, -1, 1, 1)
        self.now = self.node(
            "ConvTranspose",
            name,
            inputs,
            out,
            kernel_shape=list(kernel),
            strides=list(stride),
            pads=list(pads),
            dilations=list(dilation),
            output_padding=list(output_padding),
            group=groups,
        )
        self.features.add("transposed convolution")
        return self

    def pool_all(self) -> QonnxMaker:
        mean = self.now.data.mean((2, 3), keepdim=True)
        self.now = self.node("GlobalAveragePool", self.name("mean"), [self.now], mean)
        self.features.add("global average")
        return self.flatten()

    def flatten(self) -> QonnxMaker:
        before = self.now
        flat = before.data.flatten(1)
        self.now = self.node("Flatten", self.name("flatten"), [before], flat, axis=1)
        self.now.scale, self.now.signed = before.scale, before.signed
        return self

    def _bias(self, name: str, channels: int, out: torch.Tensor) -> Value:
        """A bias of a layer; in powers of two where ties are wanted."""
        spread = float(out.std()) + 1e-6
        bias = self.random.normal(0, 0.5 * spread, channels)
        if self.powers:
            bias = np.round(8 * bias / self.step(spread)) * self.step(spread) / 8
        self.features.add("bias of a layer")
        return self.constant(name, bias)

    def _batch_norm(self, gain: np.ndarray, bias: np.ndarray) -> QonnxMaker:
        name, channels = self.name("norm"), self.now.channels
        var = self.random.uniform(0.5, 2.0, channels)
        mean = self.random.normal(0, 0.1, channels)
        values = {"gamma": gain * np.sqrt(var + EPSILON), "beta": bias, "mean": mean, "var": var}
        inputs = [self.constant(f"{name}.{key}", value) for key, value in values.items()]
        parameters = [value.data.numpy() for value in inputs]
        scale, shift = affine_of_batch_norm(*parameters, np.float32(EPSILON))
        shape = (1, -1, 1, 1) if self.now.data.dim() == 4 else (1, -1)
        wide = [torch.from_numpy(v.astype(np.float64)).reshape(shape) for v in (scale, shift)]
        data = self.now.data * wide[0] + wide[1]
        self.now = self.node("BatchNormalization", name, [self.now, *inputs], data, epsilon=EPSILON)
        self.features.add("batch norm node")
        return self

    def _note_conv(
        self,
        source: Value,
        shape: tuple[int, ...],
        stride: tuple[int, int],
        pads: tuple[int, int, int, int],
        dilation: tuple[int, int],
        groups: int,
    ) -> None:
        notes = {
            "depthwise": 1 < groups == source.channels == shape[0],
            "groups": groups > 1 and not groups == source.channels == shape[0],
            "dilation": any(d > 1 and k > 1 for d, k in zip(dilation, shape[2:], strict=True)),
            "stride": max(stride) > 1,
            "stride 3": max(stride) == 3,
            "asymmetric padding": pads[:2] != pads[2:],
            "prime channels": shape[0] in (2, 3, 5, 7, 11, 13),
            "1xN map": source.sizes[0] == 1 and source.sizes[1] > 1,
        }
        self.features |= {name for name, holds in notes.items() if holds}
