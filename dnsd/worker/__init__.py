"""The data-plane process: sockets and compiled bytes, no secret."""
