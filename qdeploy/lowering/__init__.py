"""QONNX export, exact thresholds, the integer graph and its onnxruntime simulator."""
