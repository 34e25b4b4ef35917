"""The control process: starts and stops dnsd, and turns batches of the sources into frames.

In `control/` (control process; above all other packages but the commands). Change here: how the
sources, the zone, the workers, and the admin API are connected.
"""
