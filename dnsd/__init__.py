"""dnsd: the DNS server of Kubernetes Services.

In `dnsd/` (all packages). Change here: the version. docs/architecture.md lists the packages.
"""

__version__ = "0.1.0"
