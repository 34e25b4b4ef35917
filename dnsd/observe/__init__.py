"""What is seen of the server: counters, metrics, history."""
