"""Everything written to MLflow: runs, metrics, registered versions and aliases."""
