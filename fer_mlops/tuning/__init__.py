"""Sweeps: Optuna searches, MLflow shows, any number of processes and machines take part."""
