"""Frozen records that round-trip through JSON, the form of all that travels between the controller and a worker."""

from collections.abc import Collection

from pydantic import AfterValidator, BaseModel, ConfigDict

from spaces.names import unknown


class Value(BaseModel):
    """Base of all messages: frozen, and unknown keys are an error, so that typing errors are found."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants", use_attribute_docstrings=True)


def known(kind: str, names: Collection[str]) -> AfterValidator:
    """Return a validator that refuses a name that is not one of `names`, and suggests the nearest one.

    Args:
        kind: the kind of thing named, in the singular.
        names: every accepted name.
    """

    def check(name: str | None) -> str | None:
        if name is not None and name not in names:
            raise unknown(kind, name, names)
        return name

    return AfterValidator(check)
