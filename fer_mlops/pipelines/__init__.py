"""One command, one module: train, evaluate, compare, explain, promote."""
