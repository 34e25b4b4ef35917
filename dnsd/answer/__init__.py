"""Query bytes in, reply bytes out. Sans-I/O: imports no socket, no event loop, no client."""
