"""`python -m dnsd.worker FEED PARENT`: a worker process, started by the supervisor only."""

import sys

# structlog draws tracebacks with rich when it finds it. A worker logs JSON; not to import
# it saves 5 MB of memory and 50 ms of start in each one.
sys.modules["rich"] = None  # type: ignore[assignment]

from dnsd.worker.main import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
