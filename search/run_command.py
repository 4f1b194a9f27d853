"""Writes the command of a search from its stored settings."""

from collections.abc import Iterator, Mapping
from shlex import join
from typing import Any

from search.setting_options import settings_of
from search.settings import Settings


def run_command(stored: Mapping[str, Any]) -> str:
    """Return the command of a search, with every setting that is not at its default.

    Args:
        stored: settings as they are stored with a run.
    """
    defaults = Settings().model_dump(mode="json")
    words: list[str] = []
    for setting in settings_of():
        value, default = _at(stored, setting.path), _at(defaults, setting.path)
        if value is not None and value != default:
            words += _option(setting.path, setting.flag, value)
    return join(["python", "-m", "search.run", *words])


def _at(values: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path such as `model.name`, or None."""
    found: Any = values
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _option(path: str, flag: str, value: Any) -> Iterator[str]:
    """Yield the words of an option."""
    if value is True:
        yield flag
    elif path == "warm_start":
        for source in value:
            yield from (flag, str(source))
    elif value is not False:
        yield from (flag, _text(path, value))


def _text(path: str, value: Any) -> str:
    """Return a value as the command line takes it."""
    if path == "rungs":
        return ",".join(f"{each['tuning_steps']}:{each['questions'] or 'all'}" for each in value)
    if path == "focus":
        return ":".join(map(str, value))
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
