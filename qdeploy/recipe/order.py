"""Kinds of phases, and the orders that make sense."""

from __future__ import annotations

QUANTIZED_FROM_FLOAT = ("direct", "retrain")
WITHOUT_EPOCHS = ("direct", "recalibrate")
QUANTIZING = (*QUANTIZED_FROM_FLOAT, "finetune")


def check_order(kinds: list[str]) -> None:
    """Reject an invalid order of phases.

    Raises:
        ValueError: a sentence with the given order.
    """
    given = f"the given order is: {', '.join(kinds)}"
    if kinds[0] != "pretrain":
        raise ValueError(
            f"a {kinds[0]} phase needs a float network; put a pretrain phase before it"
        )
    order = {"pretrain": 0, "direct": 1, "retrain": 2, "finetune": 2}
    trained = [kind for kind in kinds if kind != "recalibrate"]
    if trained != sorted(trained, key=order.__getitem__) or trained.count("direct") > 1:
        raise ValueError(
            "the order of phases is pretrain, then one direct, retrain or both, then finetune or "
            f"retrain again; {given}"
        )
    if not set(kinds) & set(QUANTIZED_FROM_FLOAT):
        raise ValueError(f"no phase quantizes the network: add a retrain or direct one; {given}")
    before = trained[trained.index("finetune") - 1] if "finetune" in trained else "retrain"
    if before != "retrain":
        raise ValueError(f"a finetune phase needs a retrain phase before it; {given}")
    first = min(kinds.index(kind) for kind in QUANTIZED_FROM_FLOAT if kind in kinds)
    if "recalibrate" in kinds[:first]:
        raise ValueError(f"a recalibrate phase needs the quantized network; {given}")
