"""When the garbage collector looks at what a program has imported, all of which stays to the end: once, or never.

By default it looks at everything again and again during a start, and at the end once more: a quarter of the CPU that a
short command takes.
"""

import atexit
import gc

_USUAL = gc.get_threshold()
_WHILE_STARTING = 1_000_000  # new objects; a start makes about 300,000, and nothing of them is garbage


def begin() -> None:
    """Look seldom from now on, and at the interpreter's end only at what came after it was told so here."""
    gc.set_threshold(_WHILE_STARTING)
    atexit.register(gc.freeze)


def settle() -> None:
    """What is there stays; what comes is looked at as usual. For programs that run for long, once they are prepared."""
    # Not collected before: that takes a tenth of a start, for nine thousand small objects.
    gc.freeze()
    gc.set_threshold(*_USUAL)
