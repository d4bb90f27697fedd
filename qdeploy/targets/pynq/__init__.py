"""The target `pynq`: a package for PYNQ boards with Zynq or Zynq UltraScale+."""
