"""From the canonical form to the integer graph."""
