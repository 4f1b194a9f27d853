"""Converts prunings to text (in braces in the text of a plan) and JSON, and back.

    w50 Wanda, 50 % become zero   w2:4 Wanda, 2 of 4 remain   m50 m2:4 magnitude   saved the model's mask file
    ffn75 75 % of the FFN channels remain   h50 50 % of the head groups remain
    then, each after a slash: attn or ffn the linear layers of the method   text or image the calibration tokens

Examples: `{w50/ffn/image}`, `{w2:4}`, `{ffn75,h50}`. Before the first block, a pruning applies to all blocks that run
what it prunes; after a block, to that block.
"""

import re
from collections.abc import Mapping
from typing import Any

from spaces.errors import PlanError
from spaces.names import nearest
from spaces.pruning import FULL, Calibration, Linears, Method, Pattern, Pruning

EXAMPLES = "{w50}, {m2:4/ffn}, {saved}, {ffn75,h50/image}"
"""Texts of prunings, for error messages."""
_CHARS = {Method.MAGNITUDE: "m", Method.WANDA: "w"}
_PARTS = {
    "method": re.compile(
        r"(?P<method>[wm])((?P<kept>[0-9]{1,3}):(?P<group>[0-9]{1,3})|(?P<percent>[0-9]{1,3}))|(?P<saved>saved)"
    ),
    "ffn_width": re.compile(r"ffn([0-9]{1,3})"),
    "head_width": re.compile(r"h([0-9]{1,3})"),
}
_KEYS = tuple(Pruning.__dataclass_fields__)


def text_of_pruning(pruning: Pruning) -> str:
    """Return the text of a pruning, without the braces."""
    parts = []
    if pruning.method is Method.SAVED:
        parts.append("saved")
    elif pruning.method is not None:
        parts.append(f"{_CHARS[pruning.method]}{pruning.pattern or pruning.percent}")
    parts += [f"ffn{pruning.ffn_width}"] * (pruning.ffn_width < FULL)
    parts += [f"h{pruning.head_width}"] * (pruning.head_width < FULL)
    marks: list[str] = [pruning.linears] * (pruning.linears is not Linears.ALL)
    marks += [pruning.calibration] * (pruning.calibration is not Calibration.WHOLE)
    return "/".join([",".join(parts), *marks])


def pruning_of_text(text: str) -> Pruning:
    """Return the pruning of a text without braces.

    Raises:
        PlanError: an unknown or repeated part or mark, or an invalid pruning.
    """
    head, *marks = text.split("/")
    fields: dict[str, Any] = {}
    for part in head.split(","):
        name, value = _part(part, text)
        _set(fields, name, value, text)
    for mark in marks:
        kind = next((kind for kind in (Linears, Calibration) if mark in list(kind)[1:]), None)
        if kind is None:
            raise PlanError(
                f"a mark of a pruning must be attn, ffn, text or image, got {mark!r} in {{{text}}}: change it"
            )
        _set(fields, "linears" if kind is Linears else "calibration", kind(mark), text)
    method = fields.pop("method", {})
    return Pruning(**method, **fields)


def pruning_fields(pruning: Pruning) -> dict[str, Any]:
    """Return the JSON object of a pruning, without default values."""
    fields = {name: getattr(pruning, name) for name in _KEYS}
    shown = {name: value for name, value in fields.items() if value != Pruning.__dataclass_fields__[name].default}
    return {name: value if isinstance(value, int) else str(value) for name, value in shown.items()}


def pruning_of_fields(source: Any, where: str) -> Pruning:
    """Return the pruning of a JSON object.

    Args:
        source: the decoded object.
        where: text to add to the error message, such as ` at block 3`.

    Raises:
        PlanError: an unknown key or value, or an invalid pruning.
    """
    if not isinstance(source, Mapping):
        raise PlanError(
            f'a pruning must be an object{where}, got {source!r}: write {{"method": "wanda", "percent": 50}}'
        )
    for key in source:
        if key not in _KEYS:
            raise PlanError(f"unknown key {key!r} in the pruning{where}: the keys are {', '.join(_KEYS)}; remove it")
    fields = {name: _read(name, value, where) for name, value in source.items()}
    try:
        return Pruning(**fields)
    except PlanError as error:
        raise PlanError(f"{error} (the pruning{where})") from None


def _part(part: str, text: str) -> tuple[str, Any]:
    for name, form in _PARTS.items():
        found = form.fullmatch(part)
        if found is None:
            continue
        if name != "method":
            return name, int(found[1])
        if found["saved"]:
            return name, {"method": Method.SAVED}
        method = next(method for method, char in _CHARS.items() if char == found["method"])
        if found["percent"]:
            return name, {"method": method, "percent": int(found["percent"])}
        return name, {"method": method, "pattern": Pattern(int(found["kept"]), int(found["group"]))}
    raise PlanError(f"unknown pruning {part!r} in {{{text}}}: write one such as {EXAMPLES}")


def _set(fields: dict[str, Any], name: str, value: Any, text: str) -> None:
    if name in fields:
        raise PlanError(f"{name} of a pruning must be given once, got {{{text}}}: remove one")
    fields[name] = value


def _read(name: str, value: Any, where: str) -> Any:
    kinds = {"method": Method, "linears": Linears, "calibration": Calibration}
    if name in kinds:
        if not isinstance(value, str) or value not in list(kinds[name]):
            known = ", ".join(kinds[name])
            raise PlanError(f"unknown {name} {value!r}{where}{nearest(value, kinds[name])}: one of {known}")
        return kinds[name](value)
    if name == "pattern":
        found = re.fullmatch(r"([0-9]{1,3}):([0-9]{1,3})", value) if isinstance(value, str) else None
        if found is None:
            raise PlanError(f"a pattern must be n:m such as 2:4, got {value!r}{where}: change it")
        return Pattern(int(found[1]), int(found[2]))
    if type(value) is not int:
        raise PlanError(f"{name} must be a whole number of percent, got {value!r}{where}: change it")
    return value
