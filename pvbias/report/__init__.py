"""Results as JSON, tables and one HTML page."""
