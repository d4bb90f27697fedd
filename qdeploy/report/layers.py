"""The tables of a design for a terminal: short after an export, everything in `qdeploy report`."""

from __future__ import annotations

from rich.console import Console

from qdeploy.design.manifest import PIXELS
from qdeploy.report.design_report import DesignReport, LayerRow
from qdeploy.report.tables import Cells, print_table

# The short table's columns fit 100 characters with names of this length.
NAME = 36
_BOTTLENECK = "slowest"


def print_short(report: DesignReport, console: Console) -> None:
    """One row per layer with weights, then one for all others of each kind together."""
    head = ("layer", "PE", "SIMD", "cycles", "lanes", "eff.", "LUT", "BRAM36", "DSP", "")
    units = [row for row in report.layers if row.lanes or row.bottleneck]
    rows: list[Cells] = [_short(row) for row in units]
    others: dict[str, list[LayerRow]] = {}
    for row in report.layers:
        if row not in units:
            others.setdefault(row.part, []).append(row)
    for part, members in others.items():
        slowest = max(row.cycles for row in members)
        sums = [_sum(members, key) for key in ("lut", "bram36", "dsp")]
        rows.append((f"{part} ({len(members)})", "", "", f"{slowest:,}", "", "", *sums, ""))
    print_table("Layers", head, rows, right=range(1, 9), console=console)
    _line(console, _share(report))


def print_full(report: DesignReport, console: Console) -> None:
    """Every layer, both estimates beside synthesis, FIFOs, the board's LUTs, larger boards."""
    head = ["layer", "operator", "PE", "SIMD", "cycles", "lanes", "eff."]
    head += ["LUT", "FF", "BRAM36", "DSP", ""]
    rows: list[Cells] = []
    for row in report.layers:
        short = _short(row, cut=False)
        flops = _figure(row.used.get("ff"))
        pixels = f", M {row.folding[PIXELS]}" if PIXELS in row.folding else ""
        rows.append((short[0], row.op + pixels, *short[1:7], flops, *short[7:]))
    print_table("Layers", head, rows, right=range(2, 11), console=console)
    _line(console, _share(report))
    _estimates(report, console)
    _fifos(report, console)
    _parts(report, console)
    _boards(report, console)


def _short(row: LayerRow, *, cut: bool = True) -> tuple[str, ...]:
    name = row.name if not cut or len(row.name) <= NAME else row.name[: NAME - 1] + "…"
    return (
        name,
        str(row.folding.get("PE", "")),
        str(row.folding.get("SIMD", "")),
        f"{row.cycles:,}",
        f"{row.lanes:,}" if row.lanes else "",
        "" if row.efficiency is None else f"{row.efficiency:.0%}",
        *(_figure(row.used.get(key)) for key in ("lut", "bram36", "dsp")),
        _BOTTLENECK if row.bottleneck else "",
    )


def _sum(rows: list[LayerRow], key: str) -> str:
    known = [row.used[key] for row in rows if key in row.used]
    return _figure(sum(known)) if known else "-"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,g}" if value < 1e5 else f"{value:,.0f}"


def _share(report: DesignReport) -> str:
    source = "measured in RTL simulation" if report.measured else "expected, not simulated"
    text = (
        f"bottleneck: {report.bottleneck.name}; {report.cycles:,} cycles per frame ({source}), "
        f"{report.fps:,.0f} frames/s at {report.clock_mhz:g} MHz, assumed"
    )
    if report.lane_share is not None and report.lane_limit is not None:
        text += (
            f"; {report.lane_share:.1%} of what {report.lane_limit:,.0f} two-bit lanes, all that "
            "the board could hold, would do"
        )
    return text


def _estimates(report: DesignReport, console: Console) -> None:
    rows: list[Cells] = []
    for row in report.layers:
        if row.estimate:
            triples = [
                _figure(figures.get(key))
                for key in ("lut", "bram36", "dsp")
                for figures in (row.used, row.estimate, row.finn)
            ]
            rows.append((row.name, *triples))
    if not rows:
        _line(console, "Estimates: none in this build")
        return
    head = ["layer"]
    for kind in ("LUT", "BRAM36", "DSP"):
        head += [kind, "est.", "FINN"]
    title = "Synthesis, qdeploy's estimate, and FINN's estimate of its own hardware"
    print_table(title, head, rows, right=range(1, 10), console=console)


def _fifos(report: DesignReport, console: Console) -> None:
    rows: list[Cells] = [
        (
            fifo.name,
            f"{fifo.width:,}",
            *(_figure(value) for value in (fifo.analytic, fifo.mark)),
            f"{fifo.depth:,}" if fifo.depth else "none",
            _figure(fifo.high_water),
            "-" if fifo.fill is None else f"{fifo.fill:.0%}",
        )
        for fifo in report.fifos
    ]
    if rows:
        head = ("FIFO", "bits", "by skew", "mark", "words", "most held", "fill")
        print_table("FIFOs in RTL simulation", head, rows, right=range(1, 7), console=console)


def _parts(report: DesignReport, console: Console) -> None:
    whole = report.resources.get("lut")
    if not report.parts or not whole:
        return
    rows = [(part, _figure(luts), f"{luts / whole:.1%}") for part, luts in report.parts.items()]
    head = ("part of the design", "LUT", "share")
    print_table("Where the LUTs are", head, rows, right=(1, 2), console=console)


def _boards(report: DesignReport, console: Console) -> None:
    found = report.boards.get("boards", [])
    if not found:
        reason = report.boards.get("note", "not estimated in this build")
        _line(console, f"Larger boards: {reason}")
        return
    rows = [
        (
            one["board"],
            f"{one['clock_mhz']:g}",
            f"{one['cycles_per_frame']:,}",
            f"{one['fps']:,.0f}",
            *(_figure(one[key]) for key in ("lut", "bram36", "dsp")),
            "input" if one["dma_bound"] else "",
        )
        for one in found
    ]
    head = ("board", "MHz", "cycles", "frames/s", "LUT", "BRAM36", "DSP", "bound by")
    title = f"The same network on larger boards  [{report.boards.get('source', '')}]"
    print_table(title, head, rows, right=range(1, 7), console=console)


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print()
