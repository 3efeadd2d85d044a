"""Checkpoints: fetching, verifying, loading with a report, exporting."""
