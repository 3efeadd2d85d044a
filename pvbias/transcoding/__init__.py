"""Re-encoding whole data sets."""
