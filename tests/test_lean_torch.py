"""Without the compiler, torch trains as before; who asks for it gets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from qdeploy.lean_torch import leave_out_compiler
leave_out_compiler()
import brevitas.nn
import torch
layer = torch.nn.Linear(2, 2)
for kind in (torch.optim.SGD, torch.optim.Adam):
    optimizer = kind(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
assert "torch._dynamo.utils" not in sys.modules
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2)).tolist() == [2, 2]
assert "torch._dynamo.utils" in sys.modules
"""


def test_training_loads_no_compiler_and_torch_compile_does() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
