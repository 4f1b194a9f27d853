"""What every family can do, by running it: `python -m tests.workers.families_table > found.jsonl`, minutes per family.

`python -m tests.workers.families_table --write found.jsonl ...` makes docs/families.md of such rows.

Per family, op and scope a small random-weight model with images runs a plan that has the op at its middle blocks. Then
three invariants must hold: leaving restores every bit, `generate` with a KV cache equals the independent reference
without one, and closed-form FLOPs equal torch's counter. Then a search of three trials and an export are run.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
import transformers

from objectives.flops import flops
from objectives.workload import Workload
from spaces.block import SINGLE_OPS
from spaces.plan import Block, Op, Plan, PlanError, Scope, Variant
from spaces.shape import ModelShape
from tests.workers.families_runs import REMOVED, TRIALS, runs
from tests.workers.hub import TABLE_KINDS, save_hub
from tests.workers.whole import NEW_TOKENS, case_of, check_outputs, check_restored, counted_flops, first_sample
from tests.workers.zoo import NUM_BLOCKS
from workers.describe import describe_model, describe_workload
from workers.software import commit
from workers.sources import ModelSource

DOCUMENT = Path(__file__).parents[2] / "docs" / "families.md"
SINGLES = tuple(op for op in (*SINGLE_OPS, Op.SKIP_CROSS) if op is not Op.KEEP)
ALL_SCOPES = "all, visual, prompt, generated"


def plans_of(op: Op, scope: Scope) -> list[Plan]:
    """Four blocks, the op at block 1, which has cross-attention in Mllama's models, or at block 2."""
    kept = [Block()] * NUM_BLOCKS
    if op is Op.PAIR:
        pairs = [Block(op, scope, variant) for variant in Variant]
        paired = [(pair, Block(Op.PAIRED)) for pair in pairs]
        return [Plan((*kept[:place], *two, *kept[place + 2 :])) for two in paired for place in (0, 2)]
    return [Plan((*kept[:place], Block(op, scope), *kept[place + 1 :])) for place in (1, 2)]


@cache
def costs_of(family: str) -> tuple[ModelShape, Workload]:
    """Shape and workload as the command line would read them from a folder."""
    source = ModelSource(name=save_hub(Path(mkdtemp()), family))
    return describe_model(source), replace(describe_workload(source, [first_sample()]), generated_tokens=NEW_TOKENS)


def verdict(family: str, op: Op, scope: Scope) -> str:
    """`exact`, `refused: why`, or `wrong: what`; where only some blocks can have the op, both."""
    case, (shape, workload) = case_of(family), costs_of(family)
    said: dict[str, None] = {}
    for plan in plans_of(op, scope):
        try:
            check_restored(case, plan)
            check_outputs(case, plan)
            closed, counted = flops(shape, plan, workload).total, counted_flops(case, plan)
            said["exact" if closed == counted else f"wrong: {closed} FLOPs in closed form, {counted} counted"] = None
        except PlanError as error:
            said["refused: " + str(error).partition(": ")[2].partition(";")[0]] = None
        except AssertionError as error:
            said["wrong: " + str(error).strip().splitlines()[0]] = None
    return "; ".join(sorted(said))


def rows(family: str) -> Iterator[tuple[str, str]]:
    """Yield per op its name and the verdict of all scopes, or of each if they differ."""
    for op in (*SINGLES, Op.PAIR):
        found: dict[str, list[str]] = {}
        for scope in Scope:
            found.setdefault(verdict(family, op, scope), []).append(str(scope))
        if len(found) == 1:
            yield str(op), next(iter(found))
        else:
            yield str(op), "; ".join(f"{', '.join(scopes)}: {text}" for text, scopes in found.items())


def cell(text: str, reasons: list[str]) -> str:
    """Return a verdict as a short cell; refusals as numbers of reasons."""
    parts = []
    for part in text.split("; "):
        if part.startswith("refused: "):
            if part not in reasons:
                reasons.append(part)
            part = f"refused [{reasons.index(part) + 1}]"
        parts.append(part)
    return ", ".join(parts)


def found(family: str) -> dict[str, Any]:
    """Return the row of a family: verdict per op, search and export, with the commit and the day."""
    searched, exported = runs(family)
    return {
        "family": family,
        "ops": dict(rows(family)),
        "search": searched,
        "export": exported,
        "commit": commit(),
        "day": datetime.now(UTC).date().isoformat(),
    }


def document(families: list[dict[str, Any]]) -> str:
    """Return the whole document from the rows of the families."""
    reasons: list[str] = []
    ops = [*map(str, SINGLES), "pair"]
    columns = ["family", *ops, "search", "export"]
    table = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in families:
        cells = [cell(row["ops"][op], reasons) for op in ops]
        table.append(f"| {' | '.join([row['family'], *cells, row['search'], row['export']])} |")
    notes = [f"{number}. {reason.removeprefix('refused: ')}" for number, reason in enumerate(reasons, 1)]
    made = sorted({f"{row['day']} on commit {row['commit']}" for row in families})
    return "\n".join(
        [HEAD, *table, "", f"Run {', '.join(made)}.", "", "Refused, because", "", *notes, "", UNTESTED, ""]
    )


HEAD = f"""\
# Model families: what they can do

Written by `python -m tests.workers.families_table` with torch {torch.__version__.partition("+")[0]} and transformers
{transformers.__version__}, float32 on a CPU, eager attention; do not edit. A cell holds for the scopes {ALL_SCOPES}
unless it names some. *exact* means that on a small random-weight model of the family, with real pixels, image tokens,
masks and positions and a batch padded on the left:

- after the plan the model is as before, bit for bit, and the dense plan changes no bit;
- greedy tokens and logits with a KV cache equal those of an independent reference without one (within 2e-3);
- FLOPs in closed form, with vision tower and mapping module counted on a model without weights, equal what torch's
  counter sees, to the last one. So what is skipped is not executed.

`search` is a search of {TRIALS} trials by `search.run` on a folder that holds the model and its processor; `export` is
`search.export` of `{REMOVED}` from that run, loaded in a process of its own, with the answers of the search model. Its
cell is what runs the folder. *without processor*: the processor has a video part, which needs torchvision; without it
`search.export` refuses in one line, and the model alone was saved, loaded and compared.

`pair` is both the sum and the mean. Where a cell has both, Mllama's self-attention and cross-attention blocks differ,
or a pair lies among self-attention blocks or not. The tests draw mixed plans besides
(`tests/workers/inference/test_whole_models.py`, `tests/workers/models/test_count_on_meta.py`).
"""
UNTESTED = """\
## What to know

- **Qwen3-VL** adds image features to the hidden states after its first blocks. That addition is the model's, not the
  block's: it stays if the block skips attention or FFN.
- **PaliGemma and Gemma 3** attend in both directions among image tokens. **Gemma 3** has sliding windows: in the
  prefill all scores are computed and masked, in decoding the cached window is attended to; both are counted so.
- **Mllama**: cross-attention blocks keep their gates. skip_cross stands in place of skip_attn there. `--dry-run` says
  what spaces leave out.
- **Mixtures of experts** (Qwen3-VL-MoE; Mixtral's and Qwen2-MoE's blocks are read the same way): FLOPs count the
  experts that are active for a row, the router and shared experts. torch's counter doesn't see grouped matrix
  products, transformers' default, so FLOPs are compared with `experts_implementation="eager"`. They are not pruned.
- **Mapping modules** are found by what they do, whatever their name: `aligner` (DeepSeek-VL, Janus),
  `visual_embeddings_table` (Ovis2), merger and downsampling (GLM-4V), the path of the connector that runs
  (Granite-Docling). Their FLOPs are those that torch counts.
- **GOT-OCR2** has no chat template; its processor's own prompt is used. Its processor writes 256 tokens per image.
- **Processors that need torchvision** (Mistral 3's, Llama 4's, Cohere 2 Vision's, LFM2-VL's and others): without it
  the model is refused in one line.
- **BLIP-2 and InstructBLIP** lose the image in transformers' own `generate` without a cache; there the reference is
  one pass over prompt and answer.

Untested: video inputs, several images per question, GPUs, quantized weights, static caches of Gemma 3 and Mllama, beams
of BLIP-2 and InstructBLIP, and families that are not in the table. The blocks of those are found and checked by
function when a model is loaded. FLOPs of their blocks have the closed form of ordinary ones where torch counts the same
on the decoder without weights, for a prompt and a decode step beyond the sliding window; else they are counted per row
and per score (GPT-NeoX, Llama 4 with all experts on every row, Gemma 4 with heads of two sizes, and others in
`tests/workers/models/test_check_flops.py`). Refused are decoders for which no such numbers exist: multi-head latent
attention as in DeepSeek-V3, which expands its whole cache at every step, scores that depend on values, several kinds of
experts in one block, hybrids and post-norm blocks."""


def main() -> None:
    if sys.argv[1:2] == ["--write"]:
        lines = [line for path in sys.argv[2:] for line in Path(path).read_text().splitlines() if line.startswith("{")]
        by_family = {row["family"]: row for row in map(json.loads, lines)}
        DOCUMENT.write_text(document([by_family[family] for family in TABLE_KINDS]), encoding="utf-8")
        return
    for family in sys.argv[1:] or TABLE_KINDS:
        print(json.dumps(found(family)), flush=True)


if __name__ == "__main__":
    main()
