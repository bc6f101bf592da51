"""Exit codes, by sysexits.h where it has a name for the case, and which failure of a group decides.

A service manager acts on the codes.
"""

EX_FAILED = 1
EX_PARTIAL = 3  # a part of what was asked is done
EX_DATAERR = 65  # the journal is damaged, or of a newer release
EX_UNAVAILABLE = 69  # a server, or the gateway, can't be reached
EX_SOFTWARE = 70  # a defect of the program
EX_TEMPFAIL = 75  # the journal is in use, or can't be opened now
EX_NOPERM = 77  # the server refuses the token, or the system this user
EX_CONFIG = 78
# As shells report a Ctrl-C: 128 + SIGINT.
EX_INTERRUPTED = 130


def reason_of(failure: BaseException) -> str:
    """The failure's text; of an OSError only what went wrong, without number and path."""
    return (failure.strerror if isinstance(failure, OSError) else "") or str(failure)


def first(failure: BaseException) -> BaseException:
    """The failure itself, or the first one of a group."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
