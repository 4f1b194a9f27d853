"""Creates command-line options from the fields of `Settings`."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from search.settings import PANELS, Settings

_FLAGS = {"model.name": "--model", "dataset.name": "--dataset"}
_PREFIXED = ("dataset.config", "dataset.revision")


@dataclass(frozen=True)
class Setting:
    """One field of `Settings` or of a record in it."""

    path: str
    """Name; with a dot for a field of a nested model: `model.revision`."""
    panel: str
    """Panel of the help, a key of `PANELS`."""
    field: FieldInfo

    @property
    def flag(self) -> str:
        """Return the name of the option, such as `--max-flops`."""
        group, _, name = self.path.rpartition(".")
        prefix = f"{group}-" if self.path in _PREFIXED or group == "tuning" else ""
        return _FLAGS.get(self.path, f"--{prefix}{name}").replace("_", "-")

    @property
    def parameter(self) -> inspect.Parameter:
        """Return the option as a parameter of a typer command; its value is None if the option is not given."""
        kind = self._type
        option = typer.Option(
            self.flag,
            help=self._help,
            rich_help_panel=self.panel,
            show_default=False,
            metavar=None if kind is bool else _metavar(self.field.annotation),
        )
        annotation = Annotated[list[str] | None, option] if kind is list else Annotated[kind | None, option]
        name = self.path.replace(".", "__")
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)

    @property
    def _type(self) -> type:
        if self.field.annotation is bool:
            return bool
        return list if self.path == "warm_start" else str

    @property
    def _help(self) -> str:
        """Return the first sentence of the docstring of the field, followed by its default."""
        extra, default = self.field.json_schema_extra, self.field.get_default(call_default_factory=True)
        shown = extra["shown"] if isinstance(extra, dict) else default
        text = _first_sentence(self.field.description or "")
        return text if shown is None or shown is False or shown == () else f"{text} Default: {shown}."


def settings_of(model: type[BaseModel] = Settings, prefix: str = "", panel: str = "") -> Iterator[Setting]:
    """Yield all settings of a model, those of nested models included.

    Args:
        model: `Settings`, or a model nested in it.
        prefix: prefix of the paths, such as `model.`.
        panel: panel of the help; by default that of each field in `PANELS`.
    """
    for name, field in model.model_fields.items():
        place = panel or next(title for title, names in PANELS.items() if name in names)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings_of(field.annotation, f"{name}.", place)
        else:
            yield Setting(f"{prefix}{name}", place, field)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with one further option per setting.

    Args:
        command: receives the settings given on the command line as `given`, path -> value.
    """
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters if p.name != "given"]
    settings = sorted(settings_of(), key=lambda setting: list(PANELS).index(setting.panel))

    def wrapped(**values: Any) -> None:
        given = {s.path: values.pop(s.parameter.name) for s in settings}
        command(given={path: value for path, value in given.items() if value not in (None, [])}, **values)

    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    wrapped.__signature__ = inspect.Signature([s.parameter for s in settings] + own)  # type: ignore[attr-defined]
    return wrapped


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", " ".join(text.replace("`", "").split()), maxsplit=1)[0]


LONGEST_CHOICES = 30
"""Number of characters of the choices of an option that its help shows beside it."""


def _metavar(annotation: Any) -> str:
    """Return the placeholder for the value of an option: its choices or its type."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        choices = "|".join(get_args(annotation))
        return choices if len(choices) <= LONGEST_CHOICES else "TEXT"  # the help names them
    if get_origin(annotation) is tuple:
        return "LIST"
    return {int: "INTEGER", float: "NUMBER", Path: "PATH"}.get(annotation, "TEXT")
