"""What the pages of all builds show: the ladder, accuracy, training, weights, how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qdeploy.build_folder import GRAPH_FILE, RECIPE_FILE, read_metrics, read_weights
from qdeploy.build_records import BuildRecord, SummaryRecord, VerifyRecord
from qdeploy.ir.file import read_graph
from qdeploy.report.classes import sentence
from qdeploy.report.curves import plots_of
from qdeploy.report.epochs import epoch_table
from qdeploy.report.histograms import (
    HISTOGRAM_TEXT,
    LEVELS_TEXT,
    histograms_of,
    weights_of_graph,
)
from qdeploy.report.html_tables import (
    accuracy_table,
    made_rows,
    phases_of,
    rung_notes,
    rung_table,
)
from qdeploy.report.page import recipe_text


def build_values(
    folder: Path, verify: VerifyRecord, summary: SummaryRecord, build: BuildRecord
) -> dict[str, Any]:
    """Values of a template, by name.

    Raises:
        UserError: a file of the build is damaged.
    """
    rung_head, rung_rows = rung_table(verify)
    log = read_metrics(folder) or []
    accuracy_head, accuracy_rows = accuracy_table(summary.get("phases") or phases_of(log), build)
    weights = read_weights(folder)
    shown = weights
    if not weights and (folder / GRAPH_FILE).is_file():
        shown = weights_of_graph(read_graph(folder / GRAPH_FILE))
    return {
        "version": (build.get("versions") or {}).get("qdeploy"),
        "rung_head": rung_head,
        "rung_rows": rung_rows,
        "rung_notes": rung_notes(verify),
        "class_sentence": sentence,
        "accuracy_head": accuracy_head,
        "accuracy_rows": accuracy_rows,
        "histograms": histograms_of(shown) if shown else [],
        "histogram_text": HISTOGRAM_TEXT if weights else LEVELS_TEXT,
        "plots": plots_of(log),
        "epochs": epoch_table(log),
        "made_rows": made_rows(build),
        "recipe": recipe_text(folder / RECIPE_FILE),
    }
