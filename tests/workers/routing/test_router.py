"""The router: it learns what its features say, counts its FLOPs, and is stored without loss."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from workers.routing.router import Router, train_router


def data(questions: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Plan 0 is right where the product of two features is positive, plan 1 where it is not."""
    features = torch.randn(questions, 6, generator=torch.Generator().manual_seed(0)) * 5 + 3
    same = ((features[:, 0] - 3) * (features[:, 1] - 3) > 0).float()
    return features, torch.stack([same, 1 - same], dim=1)


def test_a_hidden_layer_learns_what_a_linear_router_cannot() -> None:
    features, scores = data()
    right = {}
    for hidden in (0, 64):
        router = train_router(features, scores, hidden=hidden, weight_decay=0.01, seed=0, epochs=150)
        picked = router.expected(features).argmax(1)
        right[hidden] = scores[torch.arange(len(scores)), picked].mean()
    assert right[64] > 0.95
    assert right[0] < 0.7


def test_one_seed_gives_one_router_and_leaves_the_random_state() -> None:
    features, scores = data(100)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    routers = [train_router(features, scores, hidden=8, weight_decay=0.1, seed=s, epochs=2) for s in (1, 1, 2)]
    assert torch.equal(before, torch.random.get_rng_state())
    one, again, other = (each.expected(features) for each in routers)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_flops_are_those_that_torch_counts_and_the_standardization() -> None:
    for hidden in (0, 8):
        router = Router(6, hidden, 3).eval()
        with FlopCounterMode(display=False) as counter:
            router(torch.randn(1, 6))
        assert router.flops == counter.get_total_flops() + 5 * 6


def test_a_stored_router_is_the_same() -> None:
    features, scores = data(50)
    for hidden in (0, 8):
        router = train_router(features, scores, hidden=hidden, weight_decay=0.1, seed=0, epochs=2)
        assert torch.equal(Router.of(router.state_dict()).expected(features), router.expected(features))


def test_a_question_unlike_all_training_questions_gets_the_mean_scores() -> None:
    """Questions of two kinds are mixes of four words; a third kind has a word that none of them has."""
    generator = torch.Generator().manual_seed(1)
    words = torch.randn(5, 40, generator=generator)
    shares = torch.rand(300, 4, generator=generator)
    known, scores = shares @ words[:4], torch.stack([shares[:, 0] > 0.5, shares[:, 0] > 0.2], dim=1).float()
    router = train_router(known[:200], scores[:200], hidden=0, weight_decay=0.1, seed=0)
    assert not router.is_unknown(known[200:]).any()
    assert not router.is_unknown(known[200:] + 1e-4 * torch.randn(100, 40, generator=generator)).any(), "rounding"
    new = known[200:] / 2 + words[4] / 2
    assert router.is_unknown(new).all()
    torch.testing.assert_close(router.expected(new), scores[:200].mean(0).expand(100, 2))
    assert (router.expected(known[200:]) - scores[:200].mean(0)).abs().max() > 0.2
