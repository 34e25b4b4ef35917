"""Explanations of answers and plans of changes: for the admin API, and without a server."""
