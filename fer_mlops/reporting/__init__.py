"""HTML pages, plots and the model card; nothing here writes to MLflow."""
