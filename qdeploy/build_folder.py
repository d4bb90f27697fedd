"""A build folder: the name of every file in it.

One place for the names, so that the stage that writes a file and those that read it agree.
"""

from __future__ import annotations

from pathlib import Path

# What was requested, and what came of it.
BUILD_FILE = "build.json"
# A copy of the resolved recipe, in a build of a trained run.
RECIPE_FILE = "recipe.yaml"
# The network at every level.
QONNX_FILE = "model.qonnx.onnx"
GRAPH_FILE = "model.graph.safetensors"
INT_FILE = "model.int.onnx"
HARDWARE_FILE = "model.dataflow.onnx"
FOLDING_FILE = "folding.yaml"
RTL_FOLDER = "rtl"
SYNTH_FOLDER = "synth"
NETLIST_PATH = Path(SYNTH_FOLDER) / "netlist.v"
# Frames, and what was found with them.
FRAMES_FILE = "frames.npz"
FIFOS_FILE = "fifos.json"
ESTIMATES_FILE = "estimates.json"
BOARDS_FILE = "boards.json"
PERFORMANCE_FILE = "performance.json"
# What the target made.
PACKAGE_FOLDER = "package"
# Beside the build folder: results kept by content; compiled models are in a folder of it.
CACHE_FOLDER = ".cache"
SIM_FOLDER = "sim"
