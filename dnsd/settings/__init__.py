"""The kinds of values, the reading, and the documentation of settings."""
