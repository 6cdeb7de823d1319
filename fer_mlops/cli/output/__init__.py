"""Console output: progress bars and tables."""
