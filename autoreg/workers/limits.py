"""How long a call to workers may take."""

from autoreg.workers.config import WorkerConfig


class TimeLimits:
    """Some multiple of the longest finished call of the same kind; until there is one, a fixed time."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._longest: dict[str, float] = {}

    def of(self, kind: str) -> float:
        """Seconds."""
        config = self._config
        if kind not in self._longest:
            return config.timeout_seconds
        return min(config.timeout_seconds, max(config.heartbeat_seconds, config.patience * self._longest[kind]))

    def note(self, kind: str, seconds: float) -> None:
        """A call of this kind finished."""
        self._longest[kind] = max(seconds, self._longest.get(kind, 0.0))
