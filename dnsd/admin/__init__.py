"""The HTTP side of the control process."""
