"""fer_mlops: train, explain, track and serve facial-expression classifiers."""

__version__ = "0.1.0"
