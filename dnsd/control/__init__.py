"""The control process: starts and stops dnsd, and turns batches into frames for workers."""
