"""Bytes in, bytes out: thin loops around the engine."""
