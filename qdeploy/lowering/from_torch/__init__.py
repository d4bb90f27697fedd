"""From a Brevitas network to QONNX."""
