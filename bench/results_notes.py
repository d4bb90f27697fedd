"""What the page of measurements says about each bench: what the peer is, where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TENSIL = "https://www.tensil.ai/docs/tutorials/resnet20-zcu104/"

NOTES = {
    "cost_model": "The peer is the truth, Yosys or RTL simulation of the same design, on the same "
    "machine in the same run. `…_finn` is FINN's own estimate of its hardware for the same layers "
    "at the same folding, but for the `finn_without` layers that it has no figures for.",
    "dialects": "Counts, without a peer. `qonnx_mismatches`: logits that the file's own engine "
    "puts elsewhere and exact arithmetic on the file does not decide for the integers; "
    "`float32_ties`: those where it does. `int_mismatches`: logits for which exact arithmetic "
    "on the file gives another value than the integer graph. `dataflow_mismatches` and "
    "`rtl_mismatches`: codes at all boundaries, of FINN's layers and in Verilator with random "
    "stalls, of files at equal distances over their families; of the largest networks each unit "
    "alone. `-`: no such engine or rule, or not simulated.",
    "ensembles": "The peer is one wider network from the same recipe, folded for the same frame "
    "rate, its width chosen for about as many LUTs: how near it came, `lut` says. Accuracies are "
    "means over the seeds, whose figures are in `bench/results/ensembles.json` with those of the "
    "members; LUTs, BRAMs and frames per second are those of the first seed's verified builds: "
    "Yosys, and RTL simulation at 100 MHz.",
    "faults": "Counts, without a peer, per network, per kind of fault and of all. `redundant`: no "
    "rung finds it, and a proof or an enumeration over all sums shows that no input can tell it. "
    "`right_layer`: the rung that finds it first names its place, which for a wire is the top and "
    "for a library module its file or a layer that has it. `memories`, `layer`, `rtl` (100 random "
    "frames), `netlist layer` and `netlist` (5 frames): found by this rung; the last two run on "
    "cells broken in the netlist, the others on all else. `layer_cannot_see`: not found by the "
    "rung that drives layers alone, and shown that it cannot: the fault is between layers, or in "
    "what is not simulated, or the layer is the same function with it. What each rung said of each "
    "fault is in `bench/faults_found.json`. Then, per network and kind, the share of single faults "
    "that a rung was computed to find, and that it found of those injected; `agree`: faults for "
    "which RTL found what was computed for this very fault.",
    "static_timing": "The peer is the clock that nextpnr reached for the same block (`fmax`); the "
    "estimate has Yosys' `sta` with a delay for each routed net. `spread`: standard deviation of "
    "estimated over reached periods; `…_of_unseen`: each block by a fit to the others.",
    "fmax": "The peer is a constant, the boards' clock of 100 MHz. The clocks are those of an "
    "ECP5-85F of speed grade 6, not of the boards' chips.",
    "fuzz": "Counts, without a peer.",
    "hardware": "The peers are figures that others published; none was measured here, none on this "
    "machine, and their networks are not ours. Ours have random weights and did not run on a "
    "board: cycles come from RTL simulation, LUTs from Yosys, and 100 MHz is assumed. A ratio says "
    "an order of magnitude. Sources:\n\n"
    "- FINN TFC-W1A1, an MNIST network of one-bit weights and activations with three hidden layers "
    "of 64, on a PYNQ board: which one, and where it was published, was not noted down.\n"
    "- fpgaConvNet INT9, ResNet-8 on CIFAR-10 with 86.0 % accuracy on a ZedBoard (Zynq Z-7020, as "
    'the PYNQ-Z2) at 143 MHz, 47,000 LUT and 211 DSP: its submission to MLCommons\' "MLPerf Tiny" '
    "inference benchmark; the round was not noted down.\n"
    "- Tensil, ResNet-20 on CIFAR-10 in 16-bit fixed point with 90 % accuracy on a ZCU104, whose "
    'Zynq UltraScale+ is another and far larger chip: "Getting Tensil to run ResNet at 300 frames '
    f'per second on ZCU104", <{TENSIL}>.',
    "kills": "Counts, without a peer. `tidied`: kills after which something half-written was "
    "there, which the next run removed. `lost`: finished work that was gone or changed after a "
    "kill, and next runs that failed or ended with other bytes. `left`: files that were still "
    "there after the next run. `orphans`: programs and workers that still ran 10 s after the kill.",
    "ladder": 'Counts, without a peer. Names that end in "(board\'s folding)" are folded as fast '
    "as the PYNQ-Z2 holds (`--board-folding`), the others for simulation speed. `-` in the columns "
    "of origins: the row is from before they were counted.",
    "loading": "The peer is a training step on the same machine in the same run, both counted in "
    "processor time of one core.",
    "tool_versions": "Counts, without a peer: the same networks with two versions of a program. "
    "RTL is simulated with stalls, FIFOs have analytic depths. Seconds are processor time of all "
    "programs, with compilation: nothing is cached.",
    "weight_levels": "The peer is the same unit, synthesized in the same run, with as many uniform "
    "levels. `memory` is what the weights take as they are stored.",
    "c_exact": "Counts, without a peer. `mismatches` over all boundaries and frames of the rung "
    "`c`: optimized, with the sanitizers, and with the vectors of this processor.",
    "host_speed": "The peer is a network of the same layers with 8 bits in onnxruntime, whose "
    "kernels have the processor's instructions for 8 bits; both in turn on one core, the fastest "
    "frame of each.",
    "microcontroller": "Without a peer. Weights are random and calibrated. Instructions are QEMU's "
    "count, not cycles; Cortex-M0+ code runs on its M3 machine. RAM is arena, input, output and "
    "measured stack; flash is code and constants as the linker counts them, at -O3.",
    "microcontroller_peers": "Both in the same run, on the Cortex-M0+ under QEMU at -O3: "
    "instructions are QEMU's count, RAM has input, result and measured stack. The peer computes as "
    "many layers of the same sizes in float, with the library that the compiler brings for a core "
    "without a floating-point unit.",
    "methods": "The peer is plain retraining of the same network, with the same seeds and epochs. "
    "Sources, spreads and verdicts are in [methods](../docs/methods.md).",
    "training": "Milliseconds are wall time of a step with 128 images, the median of steps in "
    "which the contenders take turns. `train_step_vs_float`: quantized with the compiled kernels; "
    "`step_without_kernels_vs_float`: with torch's operations; `brevitas_step_vs_float`: with "
    "Brevitas' own quantizers; `float_step`: float in 16 bits. Their peer is the float32 step in "
    "the memory format in which it is faster. `lipschitz_overhead`: the step with L_Lip over that "
    "without. `threads_scaling` and `processes_scaling`: images per second over those of one "
    "thread or process; `float_threads_scaling` is torch's own, without quantizers.",
    "packing": "The peer is the driver's numpy code, in the same run on one core of this machine; "
    "cycles are its processor time at the processor's nominal clock, not those of a board's core. "
    "Instructions are those of the C code compiled for a Cortex-A9, counted in QEMU.",
    "post_training": "The peer is the float network that was quantized; accuracies on the test set "
    "of scikit-learn's digits, means over the seeds, whose figures are in "
    "`bench/results/post_training.json`. [The page](../docs/post-training.md) has them as tables.",
    "seeds": "Ten seeds at once against the same ten one after another, with one thread; seconds "
    "are processor time. `digits`: whole trainings, with the accuracies of both sets in "
    "`bench/results/seeds.json`. `synthetic`: `epoch_…` is one epoch of all seeds at a batch of "
    "256, with its test; `rest` is what begins and ends the runs; `whole` adds up 200 epochs in "
    "float, 100 of retraining and the rest, and was not run.",
    "simulators": "The peers ran on the same machine in the same run, taking turns with ours.",
}


def unmeasured(bench: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """What a bench is configured to measure but has no row for."""
    if bench != "cost_model":
        return []
    from cost_model import configured

    measured = {row["network"] for row in rows}
    return [name for name, _, _ in configured() if name not in measured]
