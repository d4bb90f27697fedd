"""One top module that joins the layers' wrappers."""
