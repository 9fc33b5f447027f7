"""The project's own errors: each message says what was given, what was expected and what to do."""


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
