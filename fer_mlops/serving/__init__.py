"""The trained model in use."""
