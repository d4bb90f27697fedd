"""qdeploy: from a recognition task to a proven low-bit accelerator on a small FPGA."""

__version__ = "0.1.0"
