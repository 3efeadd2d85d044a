"""Configurations of the demo (`pvbias demo`)."""
