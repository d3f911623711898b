"""Exceptions that a user may meet. All are `AutoRegError`; the command line turns them into one line."""


class AutoRegError(Exception):
    """Base of every error that AutoReg raises on purpose."""


class InputError(AutoRegError):
    """Something the user gave is wrong: the message names file, field, expected and got. Exit code 2."""


class ConfigError(InputError):
    """A configuration file or `--set` has an unknown key or a value of the wrong kind."""


class DataError(InputError):
    """A volume, label map or dataset.json cannot be used as it is."""


class SearchSpaceError(InputError):
    """A search space, genotype or loss-weight file names something that does not exist."""


class BusyError(InputError):
    """Another process works in a folder that takes one at a time."""


class DivergedError(AutoRegError):
    """A level's objective became NaN, infinite or absurdly large; `level`, `round` and `step` say where."""

    def __init__(self, level: str, round_index: int, step: int, what: str = "is not finite") -> None:
        super().__init__(f"{level} objective {what} in round {round_index}, step {step}")
        self.level, self.round_index, self.step, self.what = level, round_index, step, what

    def __reduce__(self) -> tuple[type, tuple[str, int, int, str]]:  # survives the way through Ray
        return type(self), (self.level, self.round_index, self.step, self.what)


class WorkerError(AutoRegError):
    """A worker was lost or failed; the message names worker, task and cause."""


class MemoryExhaustedError(WorkerError):
    """A worker had too little memory for its share of a batch."""


class StorageError(AutoRegError):
    """A file could not be written, on a full disk say, or a store does not answer; what was there is untouched."""


class EstimatorError(AutoRegError):
    """A hypergradient estimator is not valid where it was asked; the message says what it needs."""


class NoMinimumError(EstimatorError):
    """An implicit estimator found that the weights are not near a lower minimum; a later round may be."""
