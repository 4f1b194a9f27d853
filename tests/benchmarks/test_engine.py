"""The benchmarks of the engine measure distinct plans, and time passes of the model once."""

import torch

from benchmarks.engine import children, stopwatch
from benchmarks.gpu import every, main
from spaces.plan import Plan
from tests.workers.tiny import save_tiny
from workers.session import Session
from workers.sources import DataSource, ModelSource


def test_children_are_distinct_and_the_same_for_a_seed():
    plans = children(64, seed=3)
    assert len(set(plans)) == 64 and plans == children(64, seed=3) != children(64, seed=4)
    assert {len(plan) for plan in plans} == {12}


def test_every_second_block_is_changed():
    assert every(6, 2, "a") == Plan.parse(".a.a.a") and every(4, 0, "b").is_dense


def test_a_machine_without_a_device_is_told_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    main()
    assert capsys.readouterr().out == "no CUDA device on this machine: nothing was measured\n"


def test_passes_are_timed_once_and_restored(tmp_path):
    session = Session(ModelSource(name=str(save_tiny(tmp_path / "tiny")), device="cpu"), DataSource())
    loaded, grad = session.loaded, torch.autograd.grad
    rows = torch.randn(1, 3, 32, requires_grad=True)
    with stopwatch(session) as spent:
        output = loaded.decoder(inputs_embeds=rows).last_hidden_state
        torch.autograd.grad(output.sum(), rows)
    assert len(spent) == 2 and min(spent) > 0
    assert torch.autograd.grad is grad and "forward" not in vars(loaded.decoder)
