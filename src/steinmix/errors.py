"""Exceptions and warnings of steinmix.

::

    SteinmixError
    ├── ConfigError        (ValueError)   a parameter is wrong
    ├── DataError          (ValueError)   the data cannot be used
    │   └── ChecksumError                 a file is not the published one
    ├── NoParticlesError   (ValueError)   a diversifier was asked for where there is nothing to diversify
    ├── DivergedError      (ArithmeticError)  a term became NaN or infinite
    ├── CollapseError      (RuntimeError)     clusters collapsed and the policy is to stop
    ├── DistributedError   (RuntimeError)     another process of the run died or hangs
    └── ModelFileError     (OSError)      a saved model is damaged, truncated or foreign

    Terminated             (SystemExit)       SIGTERM came; the last finished epoch is in the checkpoint

    SteinmixWarning        (UserWarning)
    ├── UnboundedWarning                  F + alpha H has no maximum
    ├── DivergedWarning                   some restarts became NaN or infinite
    ├── NamesWarning                      the names of columns may be a row
    ├── ScaleWarning                      unscaled columns are too narrow or too wide for a mixture
    ├── UnknownCategoryWarning            new rows have categories the model was not fitted on
    └── CollapseWarning                   clusters died during training

Every message says what was got, what was expected and what to do.
"""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

__all__ = [
    "ChecksumError",
    "CollapseError",
    "CollapseWarning",
    "ConfigError",
    "DataError",
    "DistributedError",
    "DivergedError",
    "DivergedWarning",
    "ModelFileError",
    "NamesWarning",
    "NoParticlesError",
    "ScaleWarning",
    "SteinmixError",
    "SteinmixWarning",
    "Terminated",
    "UnboundedWarning",
    "UnknownCategoryWarning",
]


class SteinmixError(Exception):
    """Base of every error that steinmix raises on purpose."""


class ConfigError(SteinmixError, ValueError):
    """A parameter has a value that cannot work."""


class DataError(SteinmixError, ValueError):
    """The data cannot be used as they are."""


class ChecksumError(DataError):
    """A file's content is not what its publisher published."""


class NoParticlesError(SteinmixError, ValueError):
    """A diversifier needs the parameters of m exchangeable components and there are none."""


class DivergedError(SteinmixError, ArithmeticError):
    """A term of the objective became NaN or infinite; the last good state was kept."""

    def __init__(self, phase: str, step: int, term: str) -> None:
        super().__init__(
            f"term {term!r} became NaN or infinite in phase {phase!r} at step {step}; the parameters of the "
            "last finite epoch were kept. Lower the learning rate (training__lr) or scale the data."
        )
        self.phase, self.step, self.term = phase, step, term

    def __reduce__(self):
        return type(self), (self.phase, self.step, self.term)


class CollapseError(SteinmixError, RuntimeError):
    """Clusters collapsed and the collapse policy is to stop."""


class DistributedError(SteinmixError, RuntimeError):
    """Another process of a distributed run died, hangs, or never came."""


class ModelFileError(SteinmixError, OSError):
    """A saved model is damaged, truncated or of another kind."""


class Terminated(SystemExit):
    """SIGTERM came; the last finished epoch is in the checkpoint. Uncaught, it ends the process with code 143.

    Attributes
    ----------
    text : str
        What happened and how to go on.
    """

    def __init__(self, text: str) -> None:
        super().__init__(143)
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __reduce__(self):
        return type(self), (self.text,)


class SteinmixWarning(UserWarning):
    """Base of the warnings of steinmix."""


class UnboundedWarning(SteinmixWarning):
    """F is bounded, alpha > 0 and there is no prior on the particles: F + alpha H has no maximum."""


class CollapseWarning(SteinmixWarning):
    """Clusters lost (nearly) all their rows during training."""


class DivergedWarning(SteinmixWarning):
    """Some restarts became NaN or infinite and were dropped; the others went on."""


class NamesWarning(SteinmixWarning):
    """The first line of a file was read as names, though numbers such as 2.5 stand in it."""


class ScaleWarning(SteinmixWarning):
    """Columns that were not to be scaled are narrower or wider than a mixture can follow."""


class UnknownCategoryWarning(SteinmixWarning):
    """Rows have values of a category column that are not among the known."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the nearest of the `known` words, or nothing."""
    lower = {name.lower().lstrip("-"): name for name in known}
    near = get_close_matches(word.lower().lstrip("-"), list(lower), n=1, cutoff=0.6)
    return f"; did you mean {lower[near[0]]!r}?" if near else ""


def unknown(kind: str, word: str, known: Collection[str]) -> ConfigError:
    """Return the error for the name of some kind of thing that is none of the `known`."""
    return ConfigError(f"no {kind} {word!r}{suggestion(word, known) or ';'} expected one of {', '.join(known)}.")
