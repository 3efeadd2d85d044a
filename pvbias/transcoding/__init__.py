"""Re-encoding of whole data sets, so that decoding them is fast."""
