"""`python -m dnsd.worker FEED PARENT`: a worker process, started by the supervisor only."""

import sys

# structlog draws tracebacks with rich, and keeps greenlets apart, when it finds these. A worker
# logs JSON from one thread; not to import them saves 6 MB of memory and 50 ms of start.
sys.modules["rich"] = sys.modules["greenlet"] = None  # type: ignore[assignment]

from dnsd.worker.main import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
