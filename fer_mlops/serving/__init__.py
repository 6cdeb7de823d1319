"""Prediction from Python, in batches and over HTTP; export to ONNX."""
