"""Reading a stitched design back: every number and parameter in it against the integer graph."""
