"""Settings from a YAML file and the command line, and one line per mistake in them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from search.settings import Settings, SettingsError
from search.yaml_file import parse_yaml
from spaces.names import shortened, shown, unknown
from workers.data.open_tables import is_local
from workers.requests import TuningRecipe
from workers.sources import DataSource, ModelSource


def load_settings(config: Path | None, given: Mapping[str, Any]) -> Settings:
    """Return the settings of a YAML file, overridden by those of the command line.

    Args:
        config: YAML file with the fields of `Settings` as keys; `model` and `dataset` may be a plain name.
        given: values from the command line by path, such as `model.revision`.

    Raises:
        SettingsError: a setting is invalid; one line with all mistakes: setting, rule, value got.
    """
    values = _read_yaml(config) if config else {}
    for name in ("model", "dataset"):
        if isinstance(values.get(name), str):
            values[name] = {"name": values[name]}
    for path, value in given.items():
        _set(values, path.split("."), value)
    for name in ("model", "dataset"):
        _make_absolute(values.get(name))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("; ".join(_line(detail) for detail in error.errors())) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = parse_yaml(path.read_text())
    except OSError as error:
        raise SettingsError(f"--config must be a readable YAML file, got {path} ({error.strerror})") from None
    except ValueError as error:
        raise SettingsError(f"--config must be YAML, {path} is not: {shortened(str(error), 300)}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"--config must have `setting: value` lines, {path} has a {type(values).__name__}")
    return values


def _make_absolute(source: Any) -> None:
    """Make local paths absolute, since Ray changes the working directory of its workers."""
    if not isinstance(source, dict):
        return
    if isinstance(source.get("name"), str) and is_local(source["name"]):
        source["name"] = str(Path(source["name"]).absolute())
    for name in ("masks", "task_folder"):
        if isinstance(source.get(name), str):
            source[name] = str(Path(source[name]).absolute())


def _set(values: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, leaf = path
    for parent in parents:
        nested = values.get(parent)
        values[parent] = dict(nested) if isinstance(nested, dict) else {}
        values = values[parent]
    values[leaf] = value


def _line(detail: Mapping[str, Any]) -> str:
    """Return one pydantic error as `setting: rule, got value`; for an unknown setting, suggest the nearest name."""
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        groups: dict[str, type[BaseModel]] = {"model": ModelSource, "dataset": DataSource, "tuning": TuningRecipe}
        group = groups.get(str(detail["loc"][0]), Settings)
        prefix = place.rpartition(".")[0]
        return str(unknown("setting", place, [f"{prefix}.{name}".lstrip(".") for name in group.model_fields]))
    rule: str = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return rule
    return f"{place}: {rule[0].lower()}{rule[1:]}, got {_value(detail['input'])}"


def _value(value: Any) -> str:
    """Return a value for a message; numbers of the command line, which are texts, without quotes."""
    is_number = isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?|inf|nan", value)
    return str(value) if is_number and len(value) < 40 else shown(value)
