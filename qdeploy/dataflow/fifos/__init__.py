"""Where FIFOs stand in a design, and how deep they have to be."""
