"""`part=` of a log line names the module or the package that wrote it, so that whoever reads the log finds the code."""

import re
from pathlib import Path

import oc_trio

SOURCE = Path(oc_trio.__file__).parent
_LOGGER = re.compile(r"get_logger\((?:part=\"(\w+)\")?")


def test_each_logger_is_named_after_its_module() -> None:
    """A module's own name, or its package's."""
    loggers = 0
    for path in sorted(SOURCE.rglob("*.py")):
        if path.parts[-2:] == ("telemetry", "log.py"):
            continue
        for part in _LOGGER.findall(path.read_text("utf-8")):
            loggers += 1
            assert part in (path.stem, path.parent.name), f"{path.relative_to(SOURCE)}: part={part!r}"
    assert loggers > 50
