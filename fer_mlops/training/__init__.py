"""Training of every model family."""
