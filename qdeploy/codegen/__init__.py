"""Programs made from the integer graph."""
