"""Built-in plugins: one folder, one capability."""
