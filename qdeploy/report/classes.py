"""How well classes are told apart, in a sentence."""

from __future__ import annotations

import numpy as np

from qdeploy.build_records import (
    ClassesRecord,
)


def sentence(record: ClassesRecord) -> str:
    """The balanced accuracy, the weakest class, and what is mistaken most often, for people."""
    names, f1 = record["classes"], record["f1"]
    occur = [at for at, counts in enumerate(record["confusion"]) if any(counts)]
    weakest = min(occur or range(len(names)), key=lambda at: f1[at])
    told = [f"balanced accuracy {record['balanced_accuracy']:.2%}"]
    auc = record.get("roc_auc")
    if auc is not None:
        told.append(f"area under the ROC curve {auc:.4f}")
    told.append(f"weakest class `{names[weakest]}` (F1 {f1[weakest]:.2%})")
    wrong = np.array(record["confusion"])
    np.fill_diagonal(wrong, 0)
    if wrong.any():
        true, said = divmod(int(wrong.argmax()), len(names))
        count = int(wrong.max())
        told.append(
            f"most often mistaken: `{names[true]}` for `{names[said]}`, {count:,} of "
            f"{int(np.sum(record['confusion'][true])):,}"
        )
    return "Classes: " + "; ".join(told)
