import pytest

from autoreg.workers.config import WorkerConfig
from autoreg.workers.limits import TimeLimits


@pytest.mark.parametrize(
    ("seconds", "limit"),
    [([], 3600.0), ([2.0], 60.0), ([20.0], 200.0), ([30.0, 5.0], 300.0), ([500.0], 3600.0)],
)
def test_a_limit_follows_the_longest_call_within_bounds(seconds, limit):
    limits = TimeLimits(WorkerConfig(patience=10, heartbeat_seconds=60, timeout_seconds=3600))
    for value in seconds:
        limits.note("round", value)
    assert limits.of("round") == limit
    assert limits.of("evaluate") == 3600.0
