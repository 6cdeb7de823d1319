"""Batch scoring of many images, resumable."""
