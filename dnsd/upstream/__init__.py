"""Names that are not ours."""
