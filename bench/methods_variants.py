"""What `bench/methods.py` compares: two small networks, and ways to retrain them to 2 bits.

Every way has the float network of its seed and `EPOCHS` epochs after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

EPOCHS = 24
RATE = 0.02
FLOAT = {
    "name": "float",
    "kind": "pretrain",
    "epochs": 12,
    "optimizer": {"lr": 0.1, "weight_decay": 5e-4},
    "schedule": {"type": "step", "milestones": [6, 10]},
}
RETRAIN = {
    "name": "retrain",
    "kind": "retrain",
    "epochs": EPOCHS,
    "optimizer": {"lr": RATE},
    "schedule": {"type": "step", "milestones": [14, 21]},
}
# A part of every recipe -> what it is.
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {
        "network": {"type": "fcdnn", "width": 64, "depth": 3},
        "quantization": {"first_layer_bits": 2, "input_bits": 2},
        "data": {"name": "fashion-mnist", "batch_size": 128},
    },
    "convnet": {
        "network": {
            "type": "convnet",
            "stages": [
                {"channels": 8, "stride": 2},
                {"channels": 16, "stride": 2},
                {"channels": 32, "pool": 2},
            ],
        },
        "data": {"name": "fashion-mnist", "batch_size": 128},
    },
}
TITLES = {
    "mlp": "Fully connected, 3 hidden layers of 64, all of 2 bits, Fashion-MNIST",
    "convnet": "Convolutions 8-16-32, W2A2 between 8-bit first and last layers, Fashion-MNIST",
}


@dataclass(frozen=True)
class Variant:
    """A way to retrain.

    Args:
        name: of the runs, and for `--only`.
        what: for the page: keys of the recipe and values.
        source: who proposed it, or `-`.
        retrain: keys of the retrain phase in which it differs from plain.
        quantization: likewise of that section.
        phases: in place of the retrain phase; `EPOCHS` epochs in all.
        network: keys of that section; then the float network is another one.
        widths: chosen by layer with this sensitivity, for the LUTs of the plain widths.
    """

    name: str
    what: str
    source: str
    retrain: Mapping[str, Any] = field(default_factory=dict)
    quantization: Mapping[str, Any] = field(default_factory=dict)
    phases: Sequence[Mapping[str, Any]] = ()
    network: Mapping[str, Any] = field(default_factory=dict)
    widths: Literal["noise", "hessian"] | None = None


def phase(name: str, kind: str, epochs: int, **changes: Any) -> dict[str, Any]:
    """A phase of `epochs` with plain's rate, which drops as late in it as plain's does."""
    milestones = sorted({max(1, epochs * 14 // 24), max(1, epochs * 21 // 24)})
    plain = {
        "optimizer": {"lr": RATE},
        "schedule": {"type": "step", "milestones": milestones},
    }
    return {"name": name, "kind": kind, "epochs": epochs, **plain, **changes}


def bits(number: int) -> dict[str, int]:
    """A phase's `quantization`."""
    return {"weight_bits": number, "activation_bits": number}


CYCLES = {"type": "cyclical", "period_epochs": 8, "base_lr": RATE / 10}
PAPER = "Boo et al. 2020"
MEASURES: dict[Literal["noise", "hessian"], str] = {
    "noise": "ZeroQ, Cai et al. 2020",
    "hessian": "HAWQ-V2, Dong et al. 2020",
}
VARIANTS = [
    Variant("plain", "fixed weight steps, PACT, SGD, rate in steps", f"{PAPER}, eq. 2 to 4"),
    Variant("lipschitz", "`lipschitz: 1e-4`", f"{PAPER}, eq. 8", {"lipschitz": 1e-4}),
    Variant(
        "lipschitz-inner",
        "`lipschitz: 1e-3`, `lipschitz_layers: inner`",
        f"{PAPER}, eq. 8, without first and last layer",
        {"lipschitz": 1e-3, "lipschitz_layers": "inner"},
    ),
    Variant(
        "cyclical",
        "16 epochs, then 8 with `schedule: cyclical`",
        f"{PAPER}, 4.2",
        phases=[
            phase("retrain", "retrain", 16),
            phase("cycles", "finetune", 8, schedule=CYCLES),
        ],
    ),
    Variant(
        "lipschitz-cyclical",
        "`lipschitz: 1e-4` and the cycles",
        PAPER,
        phases=[
            phase("retrain", "retrain", 16, lipschitz=1e-4),
            phase("cycles", "finetune", 8, schedule=CYCLES, lipschitz=1e-4),
        ],
    ),
    Variant(
        "cosine",
        "`schedule: cosine`",
        "Loshchilov and Hutter 2017",
        {"schedule": {"type": "cosine"}},
    ),
    Variant("ema", "`ema: 0.999`", "Polyak and Juditsky 1992", {"ema": 0.999}),
    Variant(
        "nesterov",
        "`optimizer.nesterov: true`",
        "Nesterov 1983",
        {"optimizer": {"lr": RATE, "nesterov": True}},
    ),
    Variant(
        "adam",
        "`optimizer: adam`, lr 1e-3",
        "Kingma and Ba 2015",
        {"optimizer": {"type": "adam", "lr": 1e-3}},
    ),
    Variant(
        "decay",
        "`optimizer.weight_decay: 1e-4`",
        "-",
        {"optimizer": {"lr": RATE, "weight_decay": 1e-4}},
    ),
    Variant("clip-norm", "`clip_norm: 1`", "Pascanu et al. 2013", {"clip_norm": 1.0}),
    Variant(
        "smoothing",
        "`loss.label_smoothing: 0.1`",
        "Szegedy et al. 2016",
        {"loss": {"label_smoothing": 0.1}},
    ),
    Variant("mixup", "`mixup: 0.2`", "Zhang et al. 2018", {"mixup": 0.2}),
    Variant("cutout", "`cutout: 8`", "DeVries and Taylor 2017", {"cutout": 8}),
    Variant(
        "learned-steps",
        "`weight_step: learned`, `clip_gradient: step`",
        "LSQ, Esser et al. 2020",
        quantization={"weight_step": "learned", "clip_gradient": "step"},
    ),
    Variant(
        "learned-clips",
        "`clip_gradient: step`",
        "LSQ's gradient for activations only",
        quantization={"clip_gradient": "step"},
    ),
    Variant(
        "per-channel",
        "`weight_scaling: per_channel`",
        "-",
        quantization={"weight_scaling": "per_channel"},
    ),
    Variant(
        "all-levels",
        "`weight_levels: all`, 4 levels instead of 3",
        f"{PAPER}, 5.3",
        quantization={"weight_levels": "all"},
    ),
    Variant(
        "frozen-norms",
        "20 epochs, then 4 with `frozen_norms: true` at a hundredth of the rate",
        "Krishnamoorthi 2018",
        phases=[
            phase("retrain", "retrain", 20),
            phase("frozen", "finetune", 4, frozen_norms=True, optimizer={"lr": RATE / 100}),
        ],
    ),
    Variant("running-norms", "`recalibrate: 0`", "as in the papers", {"recalibrate": 0}),
    Variant(
        "falling-bits",
        "8 epochs W4A4, 8 W3A3, 8 W2A2: `quantization` by phase",
        "Zhou et al. 2017; Li et al. 2020 (APoT)",
        phases=[
            phase("w4a4", "retrain", 8, quantization=bits(4)),
            phase("w3a3", "finetune", 8, quantization=bits(3)),
            phase("w2a2", "finetune", 8),
        ],
    ),
    Variant(
        "falling-bits-once",
        "8 epochs W4A4, 16 W2A2",
        "Zhuang et al. 2018",
        phases=[
            phase("w4a4", "retrain", 8, quantization=bits(4)),
            phase("w2a2", "finetune", 16),
        ],
    ),
    Variant(
        "weights-first",
        "8 epochs with float activations, 16 W2A2",
        "Zhuang et al. 2018",
        phases=[
            phase("w2", "retrain", 8, quantization={"activation_bits": "float"}),
            phase("w2a2", "finetune", 16),
        ],
    ),
    *(
        Variant(
            f"distillation-{share}-{temperature}",
            f"`distillation`: `share: {share}`, `temperature: {temperature}`, own float network",
            "Hinton et al. 2015",
            {"distillation": {"share": share, "temperature": temperature}},
        )
        for share, temperature in ((0.5, 2), (0.9, 4))
    ),
    Variant(
        "distillation-features",
        "the first, and `features: 0.1`",
        "Romero et al. 2015",
        {"distillation": {"features": 0.1}},
    ),
    Variant(
        "falling-bits-distillation",
        "8 epochs W4A4, 16 W2A2, both with `distillation: {}`",
        "Zhuang et al. 2018",
        phases=[
            phase("w4a4", "retrain", 8, quantization=bits(4), distillation={}),
            phase("w2a2", "finetune", 16, distillation={}),
        ],
    ),
    *(
        Variant(
            name,
            f"8 epochs in {what} with `pruning`: `target: 0.5`, `multiple_of: 4`; 16 W2A2",
            "Liu et al. 2017, with a group lasso",
            phases=[
                phase("prune", kind, 8, pruning={"target": 0.5, "multiple_of": 4}),
                phase("retrain", after, 16),
            ],
        )
        for name, what, kind, after in (
            ("pruned", "float", "pretrain", "retrain"),
            ("pruned-w2a2", "W2A2", "retrain", "finetune"),
        )
    ),
    Variant("swa", "`average_epochs: 6`", "Izmailov et al. 2018", {"average_epochs": 6}),
    Variant(
        "swa-constant",
        "`average_epochs: 6`, rate falls once, to a tenth",
        "Izmailov et al. 2018",
        {"average_epochs": 6, "schedule": {"type": "step", "milestones": [14]}},
    ),
    *(
        Variant(
            f"ewgs-{factor}",
            f"`quantization.weight_gradient_scaling: {factor}`",
            "EWGS, Lee et al. 2021",
            quantization={"weight_gradient_scaling": factor},
        )
        for factor in (0.2, 1.0)
    ),
    *(
        Variant(
            f"damping-{factor:g}",
            f"`oscillation.damping: {factor:g}`",
            "Nagel et al. 2022",
            {"oscillation": {"damping": factor}},
        )
        for factor in (1e-3, 1e-1)
    ),
    Variant(
        "freezing",
        "`oscillation`: `freeze: 0.011`, `freeze_start: 0.1`",
        "Nagel et al. 2022",
        {"oscillation": {"freeze": 0.011, "freeze_start": 0.1}},
    ),
    Variant("refit", "`refit_epochs: 2`", "-", {"refit_epochs": 2}),
    *(
        Variant(
            f"transition-{factor:g}",
            f"`schedule`: `type: transition`, `factor: {factor:g}`",
            "TRS, Lee et al. 2025",
            {"schedule": {"type": "transition", "factor": factor}},
        )
        for factor in (1e-3, 5e-3)
    ),
    Variant(
        "learned-thresholds",
        "`activation_thresholds: learned`",
        "N2UQ, Liu et al. 2022",
        quantization={"activation_thresholds": "learned"},
    ),
    Variant(
        "entropy",
        "`weight_normalization: entropy`",
        "N2UQ, Liu et al. 2022, 3.4",
        quantization={"weight_normalization": "entropy"},
    ),
    Variant(
        "n2uq",
        "`learned-thresholds` and `entropy`",
        "N2UQ, Liu et al. 2022",
        quantization={"activation_thresholds": "learned", "weight_normalization": "entropy"},
    ),
    Variant(
        "weights-4",
        "`weight_bits: 4`, 15 uniform levels",
        "-",
        quantization={"weight_bits": 4},
    ),
    Variant(
        "weights-4-apot",
        "the same, 15 levels of `weight_levels: apot`",
        "APoT, Li et al. 2020",
        quantization={"weight_bits": 4, "weight_levels": "apot"},
    ),
    Variant(
        "weights-4-power-of-two",
        "the same, 15 levels of `weight_levels: power_of_two`",
        "-",
        quantization={"weight_bits": 4, "weight_levels": "power_of_two"},
    ),
    *(
        Variant(
            f"mixed-{by}",
            f"`qdeploy bits --by {by}`, for the LUTs that plain takes at 100,000 frames/s",
            source,
            widths=by,
        )
        for by, source in MEASURES.items()
    ),
    Variant(
        "wide-binary",
        "`network.multiplier: 2`, `weight_bits: 1`",
        "WRPN, Mishra et al. 2018",
        quantization={"weight_bits": 1},
        network={"multiplier": 2},
    ),
]
