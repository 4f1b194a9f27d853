"""Creates the classes of a file of remote code on first use, each from a class of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import transformers

from workers.export.weight_renamings import rename_as

if TYPE_CHECKING:
    ModelMixin = transformers.PreTrainedModel
else:  # a mixin, which comes before the class of transformers
    ModelMixin = object


class RemoteClasses:
    """The classes of a module: models of transformers with a mixin, and their configs, with a prefix to their names."""

    def __init__(self, module: str, prefix: str, mixin: Callable[[type[transformers.PreTrainedModel]], type]) -> None:
        """Set where the classes belong and what models inherit from first.

        Args:
            module: `__name__` of the module.
            prefix: beginning of the names of its classes.
            mixin: returns the mixin for a model class.
        """
        self._module, self._prefix, self._mixin = module, prefix, mixin
        self._made: dict[str, type] = {}

    def named(self, name: str) -> type:
        """Return the class with a name, which is created on first use.

        Raises:
            AttributeError: transformers has no corresponding class.
        """
        stock = getattr(transformers, name.removeprefix(self._prefix), None)
        if not name.startswith(self._prefix) or stock is None:
            raise AttributeError(f"module {self._module!r} has no attribute {name!r}")
        if name not in self._made:
            self._made[name] = self._make(name, stock)
        return self._made[name]

    def _make(self, name: str, base: Any) -> type:
        if issubclass(base, transformers.PreTrainedConfig):
            values = {"model_type": f"{self._prefix.lower()}_{base.model_type}", "__module__": self._module}
            return type(name, (base,), values)
        config: Any = self.named(f"{self._prefix}{base.config_class.__name__}")
        rename_as(base, name, config.model_type)
        return type(name, (self._mixin(base), base), {"config_class": config, "__module__": self._module})
