"""The three kinds of trouble this product knows; every message says what happened and what to do."""


class EpochwatchError(Exception):
    """Something went wrong in Epochwatch."""

    def __init__(self, message: str | None = None) -> None:
        """Use ``message``, else the class docstring, as the text a person reads."""
        super().__init__(message or (self.__doc__ or "").strip())


class Fixable(EpochwatchError):
    """A person can repair this: the message says how. Shown in one line, without a traceback."""


class Retryable(EpochwatchError):
    """This may pass by itself: the work is tried again later, a limited number of times."""


class Permanent(EpochwatchError):
    """This will fail the same way each time: the work is parked and one alert is raised."""
