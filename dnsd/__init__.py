"""dnsd: the DNS server of Kubernetes Services."""

__version__ = "0.1.0"
