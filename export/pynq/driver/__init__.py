"""Driver of a qdeploy accelerator on a PYNQ board: `from driver import Accelerator`.

Needs Python 3.9 or newer, numpy and pynq, nothing else.
"""

from .accelerator import Accelerator
from .errors import AcceleratorError, WeightsError

__all__ = ["Accelerator", "AcceleratorError", "WeightsError"]
