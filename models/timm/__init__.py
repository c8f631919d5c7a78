"""timm folders: built by timm, without torchvision, and converted to ONNX with their preparation inside."""
