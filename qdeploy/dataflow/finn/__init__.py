"""Everything that touches FINN's graph."""
