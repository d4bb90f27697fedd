"""Which images a network was trained on, chosen by and tested on, for summary.json and people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from qdeploy.data.dataset import Dataset

# Key of summary.json.
PROTOCOL = "protocol"


def protocol(dataset: Dataset, keep: Literal["best", "last"]) -> dict[str, Any]:
    """How accuracies of a training come about, as in summary.json; `keep` as in the recipe.

    Returns:
        `images`, how many each split has; `keep`; and `tested`, when the test set was measured: at
        the end of each phase, or after each epoch, where there is no validation split.
    """
    held = dataset.validation is not None
    return {
        "images": {name: len(split) for name, split in dataset.splits.items()},
        "keep": keep if held else "last",
        "tested": "phase" if held else "epoch",
    }


def protocol_sentence(found: Mapping[str, Any]) -> str:
    """The same for people."""
    images = found["images"]
    if "validation" not in images:
        return (
            f"Trained on {images['train']:,} images, without a validation split: the "
            f"{images['test']:,} test images are measured after every epoch, and the last epoch is "
            "kept whatever they say."
        )
    kept = "is best on" if found["keep"] == "best" else "comes last, measured on"
    return (
        f"Trained on {images['train']:,} images; each phase keeps the epoch that {kept} "
        f"{images['validation']:,} others; the {images['test']:,} test images are measured once "
        "for each phase."
    )
