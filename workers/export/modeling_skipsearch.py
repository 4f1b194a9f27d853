"""A vision-language model of transformers that runs under a plan, without the modules that the plan never runs.

`SkipsearchX` is the class `X` of transformers under a plan. `SkipsearchXConfig` is its config with the additional field
`skipsearch`: the plan, the paths of the parts of the blocks, and the narrowed layers. Besides torch and transformers,
this file needs only the files in its folder.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import decoder_of
from workers.export.part_paths import settle
from workers.export.remote_classes import ModelMixin, RemoteClasses

PREFIX = "Skipsearch"
"""Beginning of the names of the classes that this module creates."""


class _UnderPlan(ModelMixin):
    """Mixin for a model class that applies the plan of its config for the lifetime of the model."""

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        under = config.skipsearch
        settle(self, under["parts"], under["cuts"], Plan.parse(under["plan"]))
        self._run_plan()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the loaded model, as transformers does, with the plan applied to modules that loading replaced too."""
        loaded = super().from_pretrained(*args, **kwargs)
        (loaded[0] if isinstance(loaded, tuple) else loaded)._run_plan()
        return loaded

    def _run_plan(self) -> None:
        self.__dict__.get("_plan", ExitStack()).close()
        plan = ExitStack()
        plan.enter_context(apply_plan(self, Plan.parse(self.config.skipsearch["plan"])))
        self.__dict__["_plan"] = plan


class _ServedUnderPlan(_UnderPlan):
    """Mixin for a base model, whose linear layers and norms a server such as vLLM replaces after building it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; apply the plan again first if modules of the decoder were replaced."""
        modules = tuple(map(id, decoder_of(self).modules()))
        if modules != self.__dict__.get("_planned"):
            under = self.config.skipsearch
            self.__dict__["_plan"].close()
            settle(self, under["parts"], under["cuts"], Plan.parse(under["plan"]))
            self._run_plan()
            self.__dict__["_planned"] = tuple(map(id, decoder_of(self).modules()))
        return super().__call__(*args, **kwargs)


_CLASSES = RemoteClasses(__name__, PREFIX, lambda base: _UnderPlan if base.can_generate() else _ServedUnderPlan)


def __getattr__(name: str) -> type:
    """Return the class called `name`, created on first use.

    Raises:
        AttributeError: transformers has no corresponding class.
    """
    return _CLASSES.named(name)
