"""The changes of each recipe of CONTRIBUTING.md, and a script that shows that what was added works.

Every file of `EDITS` is a place that the recipe names; the values are (text of the file, text to put in its place).
`None` stands for a new file.
"""

Edits = dict[str, list[tuple[str | None, str]]]

OP: Edits = {
    "spaces/block.py": [
        (
            '    PAIR = "pair"\n',
            '    RAW_FFN = "raw_ffn"\n    """h = x + SA(N1 x); y = h + FFN(h)"""\n    PAIR = "pair"\n',
        ),
        ("Op.SKIP_BLOCK, Op.PARALLEL)", "Op.SKIP_BLOCK, Op.PARALLEL, Op.RAW_FFN)"),
        ('    Op.PAIR: "(",\n', '    Op.RAW_FFN: "r",\n    Op.PAIR: "(",\n'),
    ],
    "spaces/kinds.py": [
        (
            "        if op is Op.PARALLEL and self.is_parallel:\n",
            "        if op is Op.RAW_FFN and self.is_parallel:\n"
            '            return "its FFN reads the norm of its attention; leave the op out"\n'
            "        if op is Op.PARALLEL and self.is_parallel:\n",
        )
    ],
    "spaces/plan_picture.py": [('    Op.PAIR: "▐",\n', '    Op.RAW_FFN: "▒",\n    Op.PAIR: "▐",\n')],
    "workers/blocks/block_ops.py": [
        (
            "BLOCK_OPS: dict",
            "def _raw_ffn(parts: Parts, block: Block, watch: Watch) -> Iterator[Patch]:\n"
            "    before = parts.ffn_norm.forward\n\n"
            "    def forward(hidden_states: Tensor) -> Tensor:\n"
            "        if block.scope is Scope.ALL:\n"
            "            return hidden_states\n"
            "        inside = watch.rows(block.scope).inside.view(*hidden_states.shape[:-1], 1)\n"
            "        return inside * hidden_states + ~inside * before(hidden_states)\n\n"
            "    yield parts.ffn_norm, forward\n\n\n"
            "BLOCK_OPS: dict",
        ),
        ("    Op.SKIP_CROSS: skip_attention,\n", "    Op.SKIP_CROSS: skip_attention,\n    Op.RAW_FFN: _raw_ffn,\n"),
    ],
    "search/strategies/scan.py": [("Op.SKIP_CROSS, Op.PARALLEL)", "Op.SKIP_CROSS, Op.PARALLEL, Op.RAW_FFN)")],
    "search/strategies/plan_bits.py": [("(Op.PARALLEL, Op.PAIR)", "(Op.PARALLEL, Op.PAIR, Op.RAW_FFN)")],
    "tests/workers/reference.py": [
        (
            '        "parallel": lambda: attended + ffn(x),\n',
            '        "parallel": lambda: attended + ffn(x),\n'
            '        "raw_ffn": lambda: attended + _ffn(weights, prefix + "mlp.", attended),\n',
        )
    ],
    "docs/concepts.md": [("| `()` | pair", "| `r` | raw_ffn | h = x + SA(N1 x); y = h + FFN(h) |\n| `()` | pair")],
}
OP_WORKS = """
from dataclasses import replace

import torch
from objectives.flops import flops
from search.strategies import STRATEGIES
from search.strategies.plan_bits import Coding
from spaces.plan import Op, Plan
from spaces.plan_picture import plan_picture
from spaces.spaces import load_space
from tests.objectives.shapes import TINY
from tests.search.strategies import landscape
from tests.workers.reference import reference_logits
from tests.workers.tiny import inputs, tiny_model
from workers.apply_plan import apply_plan
from workers.export.layer_facts import config_facts
from workers.export.route import Badge, export_route

SHAPE = replace(TINY, num_blocks=4)
model, batch = tiny_model(), inputs((6,))
for text in ("r.r.", ".rvb."):
    plan = Plan.parse(text)
    assert str(plan) == text and Plan.from_json(plan.to_json()) == plan and plan_picture(plan)
    assert flops(SHAPE, plan, landscape.WORKLOAD).total <= flops(SHAPE, Plan.dense(4), landscape.WORKLOAD).total
    with torch.no_grad(), apply_plan(model, plan):
        (wanted,) = reference_logits(model, plan, batch)
        torch.testing.assert_close(model(**batch).logits[0], wanted, rtol=2e-4, atol=2e-4)
    assert export_route(plan, config_facts(model.config)).badge is Badge.REMOTE
space = load_space("layers", 4)
assert len(Coding(space).encode(list(space.enumerate()))) == 6**4
landscape.LOSS[Op.RAW_FFN] = 0.2
proposed = [proposal.plan for proposal in landscape.search(landscape.task("layers", num_blocks=4), "evolution")]
assert any(Op.RAW_FFN in plan.ops for plan in proposed)
"""

FAMILY: Edits = {
    "tests/workers/zoo.py": [
        (
            "FAMILIES = {\n",
            "FAMILIES = {\n"
            '    "deepseek_vl": {\n'
            '        "text_config": {**TEXT, "model_type": "llama"},\n'
            '        "vision_config": {**VISION, "model_type": "siglip_vision_model", "vision_use_head": False},\n'
            '        "image_token_id": 60,\n'
            "    },\n",
        )
    ],
    "tests/workers/hub.py": [
        (
            "KINDS = {\n",
            "def _deepseek(tokenizer: Any, template: str) -> Any:\n"
            "    images = hf.DeepseekVLImageProcessorPil(size=SIZE, min_size=4)\n"
            "    return hf.DeepseekVLProcessor(images, tokenizer, template, num_image_tokens=4)\n\n\n"
            'KINDS = {\n    "deepseek_vl": Kind(_deepseek, named={"image_token": "<image>"}),\n',
        )
    ],
    "docs/families.md": [("| llava |", "| deepseek_vl | ... |\n| llava |")],
}
FAMILY_WORKS = """
from spaces.plan import Op, Scope
from tests.workers.families_table import verdict

for op, scope in ((Op.SKIP_BLOCK, Scope.ALL), (Op.SKIP_ATTN, Scope.VISUAL)):
    assert verdict("deepseek_vl", op, scope) == "exact", verdict("deepseek_vl", op, scope)
"""

STRATEGY: Edits = {
    "search/strategies/last_first.py": [
        (
            None,
            '"""Skips the last blocks: one more per trial."""\n\n'
            "from spaces.plan import Op, Plan\n"
            "from search.strategies.strategy import Proposal\n\n\n"
            "class LastFirst:\n"
            "    def __init__(self, task):\n"
            "        self.space = task.space\n\n"
            "    def ask(self, history, rng):\n"
            "        tried = {seen.plan for seen in history}\n"
            "        depth = self.space.num_blocks\n"
            "        plans = (Plan.of([Op.KEEP] * (depth - n) + [Op.SKIP_BLOCK] * n) for n in range(1, depth + 1))\n"
            "        plan = next((plan for plan in plans if plan not in tried), None)\n"
            '        return Proposal(plan or self.space.sample(rng), "last first" if plan else "random")\n',
        )
    ],
    "search/strategies/__init__.py": [
        ("STRATEGIES = {\n", 'STRATEGIES = {\n    "last-first": "search.strategies.last_first:LastFirst",\n'),
        ("ABOUT = {\n", 'ABOUT = {\n    "last-first": "skips the last blocks, one more per trial",\n'),
    ],
    "docs/concepts.md": [("`interval-grid`.", "`interval-grid`, `last-first`.")],
}
STRATEGY_WORKS = """
from typer.testing import CliRunner
from search.run import app
from search.settings import Settings
from tests.search.strategies.landscape import search, task

proposals = search(task("blocks", num_blocks=8, budget=12), "last-first")
assert [str(each.plan) for each in proposals if each.origin == "last first"][0].endswith(".b")
assert len({each.plan for each in proposals}) == len(proposals)
assert Settings(strategy="last-first").strategy == "last-first"
assert "last-first" in CliRunner().invoke(app, ["--help"]).output
"""

METRIC: Edits = {
    "objectives/metrics.py": [
        (
            "METRICS: dict[str, Metric] = {\n",
            "def first_letter(prediction: str, answers: Sequence[str]) -> float:\n"
            "    return float(any(prediction[:1] == answer[:1] for answer in answers))\n\n\n"
            "METRICS: dict[str, Metric] = {\n"
            '    "first_letter": Metric(Reads.ANSWERS, "the first letter is right", first_letter),\n',
        )
    ],
    "search/settings.py": [("strict_match, vqa,", "strict_match, first_letter, vqa,")],
    "tests/objectives/test_metrics.py": [
        (
            '"""\n',
            '"""\n# def test_first_letter(): assert scores("first_letter", ["red"], [["rose"]]) == [1.0]\n',
        )
    ],
    "docs/data.md": [("| `vqa` | answer", "| `first_letter` | answer | 1 for its letter | |\n| `vqa` | answer")],
}
METRIC_WORKS = """
from typer.testing import CliRunner
from objectives.metrics import scores
from search.run import app
from search.settings import Settings
from spaces.plan import Plan
from workers.requests import TrialRequest

assert scores("first_letter", ["red", "blue"], [["rose"], ["green"]]) == [1.0, 0.0]
assert Settings(metric="first_letter").metric == "first_letter"
assert TrialRequest(plan=Plan.dense(4), metric="first_letter").metric == "first_letter"
assert "first_letter" in CliRunner().invoke(app, ["--help"]).output
"""

FORMAT: Edits = {
    "workers/data/open_tables.py": [('{".parquet": "parquet"}', '{".parquet": "parquet", ".arrow": "arrow"}')],
    "tests/workers/saved_data.py": [
        (
            "FORMATS = {",
            "def arrow(folder: Path, splits: dict[str, Rows]) -> None:\n"
            "    from datasets.arrow_writer import ArrowWriter\n\n"
            "    for split, rows in splits.items():\n"
            "        table = as_table(rows)\n"
            '        with ArrowWriter(features=table.features, path=str(folder / f"{split}.arrow")) as writer:\n'
            "            writer.write_table(table.data.table)\n\n\n"
            "FORMATS = {",
        ),
        ("parquet, json_lines, image_folder)", "parquet, json_lines, image_folder, arrow)"),
    ],
    "docs/data.md": [("(`.parquet`, ", "(`.parquet`, `.arrow`, ")],
}
FORMAT_WORKS = """
from pathlib import Path
from tempfile import mkdtemp
from tests.workers.data.test_formats import splits
from tests.workers.saved_data import FORMATS, questions
from workers.data.load_split import load_split
from workers.sources import DataSource

folder = Path(mkdtemp())
FORMATS["arrow"](folder, splits(questions))
read = load_split(DataSource(name=str(folder / "train.arrow")), "train")
assert read.samples[0].question == questions(1)[0]["question"]
assert len(load_split(DataSource(name=str(folder)), "test").samples) == len(questions(5, 200))
"""

ROUTE: Edits = {
    "workers/export/route.py": [
        (
            '    SPARSE = "sparse',
            '    TEXT = "language-model"\n'
            '    """Any transformers, through AutoModelForCausalLM."""\n'
            '    SPARSE = "sparse',
        ),
        ("in (Badge.NEMOTRON,)", "in (Badge.NEMOTRON, Badge.TEXT)"),
        ('"gguf")\n"""Forms', '"gguf", "language-model")\n"""Forms'),
        (
            "        layers = pack_sublayers(plan)\n",
            "        layers = pack_sublayers(plan)\n"
            '        if form == "language-model":\n'
            "            if not all(layer.is_whole for layer in layers):\n"
            '                raise NotStock("some layers have one sub-layer only")\n'
            "            return Route(plan, Badge.TEXT, layers, ())\n",
        ),
    ],
    "workers/export/stock_layers.py": [
        (
            '    with torch.device("meta"):\n        built',
            "    if route.badge is Badge.TEXT:\n"
            "        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING\n\n"
            "        text = config.get_text_config()\n"
            "        config, kind = text, MODEL_FOR_CAUSAL_LM_MAPPING[type(text)]\n"
            "        path = find_blocks(model)[0].rpartition('.')[0] + '.'\n"
            "        inner = {f'model.{name.removeprefix(path)}': each for name, each in weights.items()"
            " if name.startswith(path)}\n"
            "        weights = {**inner, 'lm_head.weight': weights['lm_head.weight']}\n"
            '    with torch.device("meta"):\n        built',
        )
    ],
    "workers/export/card.py": [("CODE = {", "CODE = {Badge.TEXT: NEMOTRON.replace(', trust_remote_code=True', ''), ")],
    "workers/export/engines/engines.py": [
        (
            "    if route.badge is Badge.NEMOTRON:\n",
            "    if route.badge is Badge.TEXT:\n        return ()\n    if route.badge is Badge.NEMOTRON:\n",
        )
    ],
    "README.md": [("| `nemotron-nas` |", "| `language-model` | a language model alone |\n| `nemotron-nas` |")],
}
ROUTE_WORKS = """
from pathlib import Path
from tempfile import mkdtemp
from transformers import AutoModelForCausalLM, LlamaForCausalLM
from typer.testing import CliRunner
from search.export import app
from tests.workers.export.test_export import request
from tests.workers.tiny import save_tiny
from workers.data.load_split import SOURCES
from workers.export.write import export
from workers.sources import ModelSource

assert "language-model" in CliRunner().invoke(app, ["--help"]).output
SOURCES["tiny"] = "tests.workers.tiny:tiny_samples"
folder = Path(mkdtemp())
source = ModelSource(name=str(save_tiny(folder / "tiny")), device="cpu")
export({".": request(source, "..b.", form="language-model", questions=4)}, folder / "out", say=print)
loaded = AutoModelForCausalLM.from_pretrained(folder / "out")
assert type(loaded) is LlamaForCausalLM and loaded.config.num_hidden_layers == 3
assert "AutoModelForCausalLM" in (folder / "out" / "README.md").read_text()
"""

FOLLOWED = {
    "an op": (OP, OP_WORKS),
    "a model family": (FAMILY, FAMILY_WORKS),
    "a strategy": (STRATEGY, STRATEGY_WORKS),
    "a metric": (METRIC, METRIC_WORKS),
    "a data format": (FORMAT, FORMAT_WORKS),
    "an export route": (ROUTE, ROUTE_WORKS),
}
"""What is added -> the changes, and the script that uses it."""
