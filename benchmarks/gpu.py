"""Speed of plans of a large model on a CUDA device: `python -m benchmarks.gpu`.

The model is a LLaVA of 7 billion parameters with random weights in bfloat16, which are as fast as trained ones. Per
plan, it measures prefill, one decode step, one tuning step of the mapping module, and the peak of memory. Without a
CUDA device the command prints one line. `--device cpu` with a small `--width` and `--layers` tries the
code without a device.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Annotated, Any

import torch
import typer
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from benchmarks.origin import heading
from spaces.plan import Plan
from workers.apply_plan import apply_plan

VISUAL, TEXT, IMAGE_TOKEN = 576, 64, 32000
"""Visual and text tokens of a prompt, and the id of image placeholders."""
REPEATS = 5


def build(device: str, layers: int, width: int) -> Any:
    """Return a model of the shape of LLaVA-1.5 with random weights in bfloat16; only its mapping module is trained."""
    text = LlamaConfig(
        vocab_size=32064,
        hidden_size=width,
        intermediate_size=width * 43 // 16,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 128),
    )
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    config = LlavaConfig(text_config=text, vision_config=vision, image_token_index=IMAGE_TOKEN, image_seq_length=VISUAL)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = LlavaForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(torch.float32)
    model.requires_grad_(False)
    model.model.multi_modal_projector.requires_grad_(True)
    return model.eval()


def every(layers: int, keep: int, mark: str) -> Plan:
    """Return the plan that changes all blocks but each `keep`-th; for `keep` 0, the dense one."""
    return Plan.parse("".join(mark if keep and index % keep else "." for index in range(layers)))


def milliseconds(run: Callable[[], object], device: str) -> float:
    """Return the median of several calls after one for warm-up, with the device synchronized."""
    times = []
    for _ in range(REPEATS + 1):
        start = perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(perf_counter() - start)
    return 1e3 * median(times[1:])


def measure(model: Any, device: str, batch: int) -> tuple[float, float, float, float]:
    """Return milliseconds of prefill, decode step and tuning step under the applied plan, and the peak GiB."""
    ids = torch.randint(3, 32000, (batch, VISUAL + TEXT), device=device)
    ids[:, :VISUAL] = IMAGE_TOKEN
    features = torch.randn(batch, VISUAL, 1024, device=device, dtype=torch.bfloat16)
    embeddings, projector = model.get_input_embeddings(), model.model.multi_modal_projector

    def hidden(**options: Any) -> Any:
        inputs = embeddings(ids).masked_scatter((ids == IMAGE_TOKEN)[..., None], projector(features))
        return model.model.language_model(inputs_embeds=inputs, **options)

    def tune() -> None:
        logits = model.lm_head(hidden(use_cache=False).last_hidden_state[:, -2:]).float()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, -2:].flatten())
        if loss.requires_grad:
            torch.autograd.grad(loss, list(projector.parameters()), allow_unused=True)

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with torch.no_grad():
        prefill = milliseconds(lambda: hidden(use_cache=True), device)
        cache = hidden(use_cache=True).past_key_values
        step = embeddings(ids[:, -1:])
        decode = milliseconds(
            lambda: model.model.language_model(inputs_embeds=step, past_key_values=cache, use_cache=True), device
        )
    tuning = milliseconds(tune, device)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")
    return prefill, decode, tuning, peak


def main(
    device: Annotated[str, typer.Option(help="cuda, or cpu to try the code.")] = "cuda",
    layers: Annotated[int, typer.Option(help="Decoder blocks.")] = 32,
    width: Annotated[int, typer.Option(help="Width of the decoder, a multiple of 128.")] = 4096,
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 8,
) -> None:
    """Print one row per plan."""
    if device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device on this machine: nothing was measured")
        return
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    print(
        heading("Large model, random weights, bfloat16", device=name, layers=layers, width=width, batch=batch, seed=0)
    )
    model = build(device, layers, width)
    print("| plan | prefill ms | decode ms | tuning step ms | steps per hour | peak GiB |\n|---|---|---|---|---|---|")
    for text in dict.fromkeys(str(every(layers, keep, mark)) for mark in "abf" for keep in (0, 2, 4)):
        with apply_plan(model, Plan.parse(text)):
            prefill, decode, tuning, peak = measure(model, device, batch)
        print(
            f"| `{text}` | {prefill:.1f} | {decode:.2f} | {tuning:.1f} | {3.6e6 / tuning:,.0f} | {peak:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
