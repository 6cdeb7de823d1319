"""Hyperparameter sweeps with Optuna, logged to MLflow, on any number of processes and machines."""
