"""A QONNX file in canonical form: passes, names, refusals."""
