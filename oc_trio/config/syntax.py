"""Decodes TOML, and the JSON5 of an openclaw.json. Syntax errors carry line and column."""

from collections.abc import Mapping
from typing import Any

import tomli

from oc_trio.errors import ConfigError, Problem

JSON_SUFFIXES = (".json", ".json5")


def decode_toml(text: str, name: str) -> dict[str, Any]:
    """The document; raises ConfigError with line and column."""
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(Problem(f"{name}:{error.lineno}:{error.colno}", f"not valid TOML: {error.msg}")) from None
    except RecursionError:
        raise ConfigError(Problem(name, "is nested too deeply")) from None


def decode_json5(text: str, name: str) -> dict[str, Any]:
    """The document; raises ConfigError with line and column."""
    document = decode_json5_value(text, name)
    if not isinstance(document, Mapping):
        raise ConfigError(Problem(name, "must be an object at the top", "{ channels: { ... } }"))
    return dict(document)


def decode_json5_value(text: str, name: str) -> Any:
    """Whatever the text holds; raises ConfigError with line and column.

    The decoder's own message is not passed on: it holds the part already read, tokens included.
    """
    import pyjson5

    try:
        return pyjson5.decode(text)
    except pyjson5.Json5NestingTooDeep:
        raise ConfigError(Problem(name, "is nested too deeply")) from None
    except pyjson5.Json5DecoderException as error:
        from oc_trio.config.json5_errors import first_fault

        if fault := first_fault(text):
            place = f"{name}:{fault.line}:{fault.column}"
            raise ConfigError(Problem(place, f"not valid JSON5: {fault.message}")) from None
        raise ConfigError(Problem(f"{name}{_position(text, str(error.args[0]))}", "not valid JSON5")) from None


def _position(text: str, message: str) -> str:
    """`:line:column` from the offset in the decoder's message, which counts characters."""
    digits = message.partition("near ")[2].partition(",")[0]
    if not digits.isdigit():
        return ""
    before = text[: max(0, int(digits) - 1)]
    return f":{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
