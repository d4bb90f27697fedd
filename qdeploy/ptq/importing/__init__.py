"""A float network from an ONNX file as a module of torch."""
