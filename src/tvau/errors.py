"""The project's own errors: each message says what was given, what was expected and what to do."""

from reprlib import Repr

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 80


def shown(value: object) -> str:
    """A value in a message: as Python writes it, cut in its middle where it is long."""
    return _SHORT.repr(value)


class TvauError(Exception):
    """Base of every error that bad input can cause; the command line prints it without a traceback."""


class DataError(TvauError):
    """A data set, video, mask, track or dialog file is missing, broken or inconsistent."""


class BackboneError(TvauError):
    """A backbone cannot be loaded, or cannot take what it was given."""


class CheckpointError(TvauError):
    """A checkpoint does not belong to this model or backbone, or cannot be read."""


class OptionError(TvauError):
    """An option has a value that means nothing, or means nothing beside the others."""
