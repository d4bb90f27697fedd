"""The integer graph as one ONNX file of standard operators, and running it in onnxruntime."""
