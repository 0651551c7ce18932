"""Write trained models as ONNX or OpenVINO, and verify them."""
