"""Settings: kinds of values, declarations, sections, reading, and documentation.

In `settings/` (below every package but dns/). Change here: nothing; each module has one subject.

A setting is declared in the `settings.py` of its package. `dnsd/control/settings.py` composes the
sections of all packages.
"""
