"""Defines the base class of the messages between controller and worker: frozen records that round-trip through JSON."""

from collections.abc import Collection

from pydantic import AfterValidator, BaseModel, ConfigDict

from spaces.names import unknown


class Message(BaseModel):
    """Base class of all messages: frozen; unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants", use_attribute_docstrings=True)


def known(kind: str, names: Collection[str]) -> AfterValidator:
    """Return a validator that rejects a name that is not one of `names`, and suggests the nearest one.

    Args:
        kind: what the name stands for, in the singular, such as `strategy`.
        names: all accepted names.
    """

    def check(name: str | None) -> str | None:
        if name is not None and name not in names:
            raise unknown(kind, name, names)
        return name

    return AfterValidator(check)
