"""`qdeploy analyze`: where a trained network's noise comes from and how it grows."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from qdeploy.artifacts import usable_folder, write_json
from qdeploy.cli.data_option import data_option
from qdeploy.cli.progress import PRINTING
from qdeploy.errors import UserError
from qdeploy.figures import FIGURES, shown


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for analysis.json and the pictures; default the run folder, needed for several.",
)
@data_option()
@click.option("--frames", default=128, type=click.IntRange(1), help="Test images for the noise.")
@click.option(
    "--loss-frames", default=512, type=click.IntRange(1), help="Training images for the flatness."
)
@click.option("--directions", default=5, type=click.IntRange(1), help="Directions for it.")
@click.option("--radius", default=0.5, type=click.FloatRange(0, min_open=True), help="Its reach.")
@click.option("--seed", default=0, help="Of images and directions.")
@click.option("--json", "as_json", is_flag=True, help="Print analysis.json instead of tables.")
def analyze(
    runs: tuple[Path, ...],
    out: Path | None,
    data: Path | None,
    frames: int,
    loss_frames: int,
    directions: int,
    radius: float,
    seed: int,
    as_json: bool,
) -> None:
    """Print and plot noise, its growth, spectral norms, flatness and size of each RUN.

    Several runs share the pictures; runs of one family at several sizes also get their effective
    compression ratios.
    """
    if len(runs) > 1 and out is None:
        raise UserError(
            "several runs need a folder for their analysis",
            why="the default is the run's own folder",
            do="give --out FOLDER",
        )
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"brevitas\.")
    from qdeploy.training.analysis.plots import plotted
    from qdeploy.training.analysis.report import Settings, compare_family, labels_apart
    from qdeploy.training.analysis.report import analyze as analyze_run
    from qdeploy.training.run import ANALYSIS, RECIPE, load_run, locked_run

    target = runs[0] if out is None else out
    settings = Settings(
        frames=frames, loss_frames=loss_frames, directions=directions, radius=radius, seed=seed
    )
    reports = []
    with contextlib.ExitStack() as held:
        if out is not None:  # one that cannot be used is refused before the work
            held.enter_context(usable_folder(out))
        if (target / RECIPE).exists():  # no training may replace the run before the files are there
            held.enter_context(locked_run(target, "analyze", PRINTING.note))
        for folder in runs:
            run = load_run(folder, PRINTING.note)
            report = analyze_run(run, run.dataset(data, PRINTING), settings, PRINTING)
            reports.append({"run": str(folder), **report})
        compare_family(reports)
        for report, label in zip(reports, labels_apart(reports), strict=True):
            report["label"] = label
        result: dict[str, Any] = {"runs": reports}
        with plotted(reports, target) as pictures:
            write_json(target / ANALYSIS, result, durable=True)
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    for report in reports:
        _print_run(report)
    if len(reports) > 1:
        _print_comparison(reports)
    click.echo(f"wrote {', '.join(str(path) for path in (target / ANALYSIS, *pictures))}")


def _print_run(report: dict[str, Any]) -> None:
    layers = [
        (
            row["name"],
            row["kind"],
            f"{row['weights']:,}",
            _bits(row["weight_bits"]),
            _bits(row["input_bits"]),
            f"{row['macs']:,}",
            f"{row['bit_operations']:,}",
            _number(row["sqnr_db"], ".1f"),
            f"{row['spectral_norm']:.2f}",
            f"{row['spectral_norm_quantized']:.2f}",
            f"{row['spectral_norm_with_batch_norm']:.2f}",
            f"{row['lipschitz']:.4g}",
        )
        for row in report["layers"]
    ]
    columns = ("layer", "kind", "weights", "W", "A", "MACs", "bit ops", "SQNR dB")
    _table(
        f"{report['label']}: layers",
        (*columns, "σ(W)", "σ(Q(W))", "σ with norm", "L_Lip"),
        layers,
        2,
    )
    activations = [
        (
            row["name"],
            str(row["bits"]),
            f"{row['step']:.4g}",
            f"{row['clipped']:.2%}",
            _number(row["sqnr_db"], ".1f"),
            _number(row["gain_db"], "+.1f"),
            _number(row["output_db"], ".1f"),
        )
        for row in report["activations"]
    ]
    headings = (
        "activations",
        "bits",
        "step",
        "clipped",
        "SQNR dB",
        "noise gain dB",
        "at output dB",
    )
    _table(f"{report['label']}: activations", headings, activations, 1)
    totals = report["totals"]
    facts = {
        **{
            f"{FIGURES[key]}, {phase['name']}": shown(key, phase[key])
            for phase in report["phases"]
            for key in FIGURES
            if key in phase
        },
        "parameters": f"{totals['parameters']:,}",
        "weights": f"{totals['weights']:,} in {totals['weight_bits'] / 8192:,.1f} KiB",
        "compression ratio": f"{totals['compression']:.1f}",
        "effective compression ratio": _number(totals["effective_compression"], ".1f"),
        "operations": f"{totals['macs']:,} MACs, {totals['bit_operations']:,} bit operations",
        "noise of activations at the output": f"{_number(totals['output_noise_db'], '.1f')} dB",
        "rise of the loss around the weights": f"{report['flatness']['rise']:.4g}",
    }
    _table(f"{report['label']}: totals", ("what", "value"), list(facts.items()), 1)


def _print_comparison(reports: list[dict[str, Any]]) -> None:
    from qdeploy.training.analysis.report import measure_of

    rows = [
        (
            report["label"],
            f"{measure_of(report['phases'][0]):.2%}",
            f"{measure_of(report['phases'][-1]):.2%}",
            f"{report['totals']['weights']:,}",
            f"{report['totals']['compression']:.1f}",
            _number(report["totals"]["effective_compression"], ".1f"),
            _number(report["totals"]["output_noise_db"], ".1f"),
            f"{max(row['spectral_norm_quantized'] for row in report['layers']):.2f}",
            f"{report['flatness']['rise']:.4g}",
        )
        for report in reports
    ]
    what = " mIoU" if all("miou" in phase for r in reports for phase in r["phases"]) else ""
    measures = (f"float{what}", f"quantized{what}")
    headings = ("run", *measures, "weights", "ratio", "effective", "noise dB")
    _table("all runs", (*headings, "largest σ(Q(W))", "rise of the loss"), rows, 1)


def _table(
    title: str, headings: Sequence[str], rows: Sequence[tuple[str, ...]], words: int
) -> None:
    """Print a table whose first `words` columns are words and the others numbers."""
    from rich.console import Console

    from qdeploy.report.tables import print_table

    numbers = range(words, len(headings))
    print_table(title, headings, rows, right=numbers, console=Console())


def _bits(bits: int) -> str:
    return "float" if bits == 32 else str(bits)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
