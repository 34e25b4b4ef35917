"""What the cluster says: objects, indexes over them, and the sources they come from."""
