"""`qdeploy.simulate`: frames through a build, with accuracy; the command of the same name."""

from __future__ import annotations

import os
from typing import Any

from qdeploy.api.builds import AnyBuild, folder_of
from qdeploy.build.module_source import given_frames
from qdeploy.build.simulate import Level, Simulation
from qdeploy.build.simulate import simulate as run
from qdeploy.errors import UserError
from qdeploy.observer import SILENT, Observer


def simulate(
    build: AnyBuild,
    x: Any = None,
    y: Any = None,
    *,
    level: Level = "int",
    count: int | None = None,
    threads: int | None = None,
    observer: Observer = SILENT,
) -> Simulation:
    """Send frames through a build.

    Args:
        build: what `export` returned, or a build folder.
        x: frames, (N, ...): real numbers as the network takes them, or raw integers where its file
            says what these mean. When None, the test set of the run that the build is made from, or
            the frames in the build.
        y: their labels, (N,).
        level: `int`, integers in onnxruntime; `rtl`, the design in Verilator; `c`, the C sources
            of a build for target `c`, compiled for this machine.
        count: the first frames only; all when None.
        threads: of onnxruntime, or programs in C at one time; all cores when None.
        observer: hears of the progress; nothing is printed.

    Returns:
        `classes` (N,), `logits` (N, K) float64, `output` (N, ...) integers; with labels `metrics`
        and `by_class`; `cycles_per_frame` at level rtl.

    Raises:
        UserError: the folder holds no build, no design for `rtl`, no C sources for `c`, or there
            is no such level.
        ToolMissingError: Verilator is not installed for `rtl`, or gcc for `c`.
        DataError: frames or labels are not those of the network.

    Example:
        >>> import torch, qdeploy
        >>> net = qdeploy.quantize(torch.nn.Linear(16, 3), 4, torch.rand(8, 16))
        >>> build = qdeploy.export(
        ...     net, out="build/net", synthesis=False, fifo_depths="analytic", frames=16
        ... )
        >>> qdeploy.simulate(build, torch.rand(5, 16), level="rtl").classes.shape
        (5,)
    """
    if x is None and y is not None:
        raise UserError("there are labels, and no frames that they are of", do="give `x`")
    return run(
        folder_of(build),
        level=level,
        count=count,
        frames_from=None if x is None else given_frames(x, y),
        threads=threads or os.cpu_count() or 1,
        observer=observer,
    )
