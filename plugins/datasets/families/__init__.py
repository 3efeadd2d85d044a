"""Readers of official files, one module for each form that several data sets have, or for the one data set that has
it."""
