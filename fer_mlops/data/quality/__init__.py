"""Data checks: findings about a data set and their effect on the scores."""
