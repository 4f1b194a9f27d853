"""A vision-language model of transformers that answers each question with one of several plans, chosen by a router.

`RoutedX` is the class `X` of transformers with a router and one mapping module per plan; all plans share its other
weights. `RoutedXConfig` is its config with the additional field `routed`. Besides torch and transformers, this file
needs only the files in its folder.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of
from workers.export.remote_classes import ModelMixin, RemoteClasses
from workers.routing.router import Router

PREFIX = "Routed"
"""Beginning of the names of the classes that this module creates."""


class _Routed(ModelMixin):
    """Mixin for a model class: `generate` gives every question a plan, and answers the questions of a plan together."""

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        routed = config.routed
        self.router = Router(routed["features"], routed["hidden"], len(routed["plans"]))
        self.mappings = nn.ModuleList(
            nn.ModuleList(copy.deepcopy(self.get_submodule(path)) for path in routed["mapping"])
            for _ in routed["plans"]
        )

    def generate(
        self, inputs: Any = None, *, compute: float | None = None, max_flops: float | None = None,
        plan: int | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Return generated ids as `generate` of transformers does, padded on the right to the longest answer.

        Args:
            inputs: not used; pass `input_ids`.
            compute: mean FLOPs per question to keep, of those of the dense model, from 0 to 1; None for the default of
                the folder.
            max_flops: FLOPs that no question may exceed, of those of the dense model; None for no limit.
            plan: index of one plan for all questions, instead of the router.
            **kwargs: arguments of `generate`; `input_ids` and `attention_mask` (B, T), padded on the left, and pixels
                in the order of the questions.

        Raises:
            ValueError: no plan is as cheap as the budget, or a question has a number of images that no question of the
                router's training had, without a plan of its own.
        """
        if self.__dict__.get("_under_plan"):
            return super().generate(inputs, **kwargs)  # type: ignore[misc]
        ids, mask = kwargs["input_ids"], kwargs.get("attention_mask")
        mask = torch.ones_like(ids) if mask is None else mask
        if plan is None:
            picks = self.plans_of(ids, mask, compute=compute, max_flops=max_flops)
        else:
            picks = torch.full((len(ids),), range(len(self.mappings))[plan], device=ids.device)
        self._check_options(kwargs)
        images = self._images_of(ids, mask)
        self._check_pixels(kwargs, images)
        answers: list[Tensor] = [ids[0]] * len(ids)
        for chosen in picks.unique().tolist():
            rows = (picks == chosen).nonzero()[:, 0]
            with self._under(chosen):
                made = self.generate(**_rows_of({**kwargs, "attention_mask": mask}, rows, images))
            for row, new in zip(rows.tolist(), made, strict=True):
                start = int(mask[rows].sum(-1).max())  # columns that are padding in all rows were cut off
                answers[row] = torch.cat([ids[row], new[start:]])
        return self._padded(answers, kwargs.get("pad_token_id"))

    def plans_of(
        self, input_ids: Tensor, attention_mask: Tensor, compute: float | None = None, max_flops: float | None = None
    ) -> Tensor:
        """Return the index of the plan of each question, (B,) int64.

        Args:
            input_ids: (B, T) int64 token ids of the prompts.
            attention_mask: (B, T), 0 for padding.
            compute, max_flops: as in `generate`.

        Raises:
            ValueError: no plan is as cheap as the budget, or a question has a number of images that no question of the
                router's training had.
        """
        routed = self.config.routed
        if unknown := sorted(set(self._images_of(input_ids, attention_mask)) - set(routed["images"])):
            raise ValueError(
                f"the router knows questions with {', '.join(map(str, routed['images']))} images, got one with "
                f"{unknown[0]}: choose a plan with plan="
            )
        ratios = torch.tensor(routed["ratios"], dtype=torch.float64, device=input_ids.device)
        within = ratios <= (float("inf") if max_flops is None else max_flops)
        if not within.any():
            least = min(routed["ratios"])
            raise ValueError(f"max_flops must be at least {least:.4g}, the cheapest plan, got {max_flops}: raise it")
        point = self._point(compute)
        if "plan" in point and within[point["plan"]]:
            return torch.full((len(input_ids),), point["plan"], device=input_ids.device)
        expected = self.router.expected(self._features(input_ids, attention_mask)).double()
        worth = expected - point.get("price", 0.0) * ratios
        picks: Tensor = worth.masked_fill(~within, -torch.inf).argmax(-1)
        return picks

    def _point(self, compute: float | None) -> dict[str, Any]:
        """Return the point of the dial for a budget: its price, or its plan for all questions."""
        dial: list[dict[str, Any]] = self.config.routed["dial"]
        if compute is None:
            default: int = self.config.routed["default"]
            return dial[default]
        within = [point for point in dial if point["flops_ratio"] <= compute]
        if not within:
            least = min(point["flops_ratio"] for point in dial)
            raise ValueError(f"compute must be at least {least:.4g} of the dense FLOPs, got {compute}: raise it")
        return max(within, key=lambda point: point["flops_ratio"])

    @torch.no_grad()
    def _features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the mean embedding of the text tokens of each prompt, (B, width) float32."""
        images = torch.tensor(sorted(anatomy_of(self).image_tokens), device=input_ids.device)
        text = attention_mask.bool() & ~torch.isin(input_ids, images)
        embeddings = self.get_input_embeddings()
        return torch.stack([embeddings(ids[kept]).float().mean(0) for ids, kept in zip(input_ids, text, strict=True)])

    @contextmanager
    def _under(self, plan: int) -> Iterator[None]:
        """Apply a plan and its mapping module inside the `with` block."""
        paths: list[str] = self.config.routed["mapping"]
        with ExitStack() as stack:
            for path, module in zip(paths, self.mappings[plan].children(), strict=True):
                stack.callback(self.set_submodule, path, self.get_submodule(path))
                self.set_submodule(path, module)
            stack.enter_context(apply_plan(self, Plan.parse(self.config.routed["plans"][plan])))
            self.__dict__["_under_plan"] = True
            stack.callback(self.__dict__.pop, "_under_plan")
            yield

    @staticmethod
    def _check_options(kwargs: dict[str, Any]) -> None:
        for name in ("return_dict_in_generate", "num_return_sequences"):
            if kwargs.get(name) not in (None, False, 1):
                raise ValueError(f"a routed batch returns one tensor of ids, got {name}={kwargs[name]}: leave it out")

    def _images_of(self, ids: Tensor, mask: Tensor) -> list[int]:
        """Return the number of images of each question."""
        size: int | None = self.config.routed["tokens_per_image"]
        if size is None:  # images of different sizes, which tokens do not count: one each, as in the router's training
            return [1] * len(ids)
        visual = torch.tensor(sorted(anatomy_of(self).image_tokens), device=ids.device)
        found: list[int] = (torch.isin(ids, visual) & mask.bool()).sum(-1).div(size, rounding_mode="floor").tolist()
        return found

    @staticmethod
    def _check_pixels(kwargs: dict[str, Any], images: Sequence[int]) -> None:
        given = {
            name: len(value) for name, value in kwargs.items() if name.startswith("pixel_values") and value is not None
        }
        for name, number in (given or {"pixel_values": 0}).items():
            if number != sum(images):
                raise ValueError(
                    f"these questions must have {sum(images)} images together, got {number} {name}: pass those of all "
                    "questions, in their order"
                )

    def _padded(self, answers: Sequence[Tensor], pad: int | None) -> Tensor:
        fill = self.generation_config.pad_token_id if pad is None else pad
        return nn.utils.rnn.pad_sequence(list(answers), batch_first=True, padding_value=fill or 0)


def _rows_of(kwargs: dict[str, Any], rows: Tensor, images: Sequence[int]) -> dict[str, Any]:
    """Return the arguments for some rows, without the columns that are padding in all of them."""
    start = kwargs["attention_mask"].shape[1] - int(kwargs["attention_mask"][rows].sum(-1).max())
    length, batch = kwargs["input_ids"].shape, len(images)
    chosen = set(rows.tolist())
    owners = [row for row, number in enumerate(images) for _ in range(number)]
    kept = [place for place, row in enumerate(owners) if row in chosen]

    def of(name: str, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim == 0:
            return value
        if name.startswith("pixel_values"):
            return value[kept]
        if len(value) != batch:
            return value
        return value[rows][:, start:] if value.shape == length else value[rows]

    return {
        name: of(name, value)
        for name, value in kwargs.items()
        if not name.startswith("pixel_values") or value is None or kept
    }


_CLASSES = RemoteClasses(__name__, PREFIX, lambda _: _Routed)


def __getattr__(name: str) -> type:
    """Return the class called `name`, created on first use.

    Raises:
        AttributeError: transformers has no corresponding class.
    """
    return _CLASSES.named(name)
