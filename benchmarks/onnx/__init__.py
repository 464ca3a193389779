"""What an ONNX file gives, holds and costs, beside the model that it was made of."""
