"""Registration as three levels: shares of workers, sampled paths, and hypergradients through a real network."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from problems import FixedPairs, normal, seeded, volume
from torch import Tensor, nn

from autoreg.losses import one_hot
from autoreg.networks import (
    Architecture,
    Choices,
    Genotype,
    Registration,
    RegistrationNetwork,
    Supernet,
    build_network,
)
from autoreg.registration import objective as objective_module
from autoreg.registration import problem as problem_module
from autoreg.registration.batch import PairBatch, Side, load_batch
from autoreg.registration.objective import Objective
from autoreg.registration.problem import RegistrationProblem, Samplers, Shard, UpperObjective
from autoreg.registration.space import Term
from autoreg.trilevel import LowerStep, Round, no_reduce, solve_round
from autoreg.trilevel import response as response_module

TERMS = (
    Term("lncc", "lncc", level=1, window=3, reference=True),
    Term("mse", "mse"),
    Term("smoothness", "diffusion", level=1),
    Term("overlap", "dice", level=1),
)
SPACE = (8, 8, 8)
VOLUMES = {
    key: volume(key, SPACE, seed=seed, labelled=key != "bare") for seed, key in enumerate(("a", "b", "c", "bare"))
}
SAMPLERS = Samplers(
    FixedPairs(("a", "b"), ("b", "bare"), ("c", "a"), ("b", "c"), ("bare", "c")),
    FixedPairs(("b", "a"), ("a", "c"), ("c", "b")),
    FixedPairs(("c", "b"), ("a", "b"), ("b", "c"), ("b", "a")),
)
SMALL = Architecture(
    feature_channels=(2, 4), feature_edges=1, deformation_channels=(4,), downsampling="pooled", integration_steps=3
)


def moving_more(network: nn.Module) -> nn.Module:
    """Heads with displacements of parts of a voxel, away from the kinks of interpolation at whole voxels."""
    generator = seeded(5)
    for name, weight in network.named_parameters():
        if "head" in name:
            nn.init.normal_(weight, std=0.1, generator=generator)
    return network


def built(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return moving_more(make())


def derived() -> nn.Module:
    return built(Genotype.uniform(SMALL, "conv3").build)


def supernet() -> nn.Module:
    return built(lambda: Supernet(Choices(SMALL, ("conv1", "conv3"))))


def problem_of(network: nn.Module, **options: Any) -> RegistrationProblem:
    options = {"samplers": SAMPLERS, "batch_size": 3, **options}
    return RegistrationProblem(network, objective=Objective(TERMS, (1, 2)), volumes=VOLUMES, **options)


@pytest.mark.parametrize("count", [2, 3])
def test_shares_add_up_to_the_global_mean(count: int) -> None:
    """Also with uneven shards, and with pairs without labels on one of the workers."""
    network, alpha = supernet(), normal(len(SMALL.edges()), 2, seed=0).float()

    def values(shard: Shard) -> tuple[Tensor, Tensor, Tensor, dict[str, float]]:
        problem = problem_of(network, batch_size=5, shard=shard, relaxation="single-path")
        problem.upper = UpperObjective(prices={"folds_percent": 10.0})
        objective, parts = problem.loss_weights_objective(alpha, 1)
        return problem.train_terms(alpha, 1), problem.architecture_terms(alpha, 1), objective, parts

    whole = values(Shard())
    shares = [values(Shard(index, count)) for index in range(count)]
    for i in range(3):
        torch.testing.assert_close(torch.stack([s[i] for s in shares]).sum(0), whole[i], rtol=1e-4, atol=1e-6)
    for name, value in whole[3].items():
        assert sum(s[3][name] for s in shares) == pytest.approx(value, rel=1e-4, abs=1e-6)
    assert whole[0][3] > 0  # the overlap term had labels to measure


def test_upper_objective_is_overlap_with_a_price_on_folding() -> None:
    problem = problem_of(derived())
    assert isinstance(problem.network, RegistrationNetwork)
    for cell in problem.network.deformations:
        nn.init.normal_(cell.head.weight, std=3.0, generator=seeded(1))
    free, parts = problem.loss_weights_objective(None, 0)
    assert free.item() == pytest.approx(1 - parts["dice"], rel=1e-6)
    problem.upper = UpperObjective(prices={"folds_percent": 7.0})
    priced, parts = problem.loss_weights_objective(None, 0)
    assert (priced - free).item() == pytest.approx(7 * parts["stand_in.folds_percent"], rel=1e-5)
    assert parts["stand_in.folds_percent"] > 0 and parts["folds_percent"] > 0


def test_paths_are_a_function_of_seed_and_step() -> None:
    network, alpha = supernet(), torch.zeros(len(SMALL.edges()), 2)
    batch = load_batch(VOLUMES, [("a", "b")], multiple=4, device=torch.device("cpu"))

    def outputs(seed: int) -> list[Tensor]:
        problem = problem_of(network, seed=seed, relaxation="single-path")
        return [problem.register(batch, alpha, step).displacement for step in range(6)]

    first, again, other = outputs(0), outputs(0), outputs(1)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))
    assert not all(torch.equal(first[0], u) for u in first)


def test_terms_of_a_level_that_voxelmorph_lacks() -> None:
    volumes = {key: volume(key, (32, 32), seed=seed) for seed, key in enumerate("ab")}
    network = build_network({"name": "voxelmorph", "architecture": {"dims": 2}})
    problem = RegistrationProblem(
        network,
        objective=Objective([Term("quarter", "mse", level=2)], ()),
        volumes=volumes,
        samplers=Samplers(FixedPairs(("a", "b"))),
        batch_size=1,
    )
    assert problem.train_terms(None, 0).item() > 0


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="needs alpha"):
        problem_of(supernet()).train_terms(None, 0)
    plain = problem_of(derived(), samplers=Samplers(SAMPLERS.weights))
    with pytest.raises(ValueError, match="no pairs for the loss_weights level"):
        plain.loss_weights_objective(None, 0)
    with pytest.raises(ValueError, match="no pairs for the architecture level"):
        plain.architecture_terms(torch.zeros(1), 0)


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images and one-hot labels in double precision: rounding of float32 hides the differences below."""

    def side(given: Side) -> Side:
        return Side(given.image.double(), given.foreground.double(), given.labels)

    def load(*args: Any, **options: Any) -> PairBatch:
        batch = load_batch(*args, **options)
        return PairBatch(side(batch.fixed), side(batch.moving), batch.crop)

    monkeypatch.setattr(problem_module, "load_batch", load)
    monkeypatch.setattr(response_module, "MOVE", 1e-4)  # this small problem is smooth where it stands
    monkeypatch.setattr(objective_module, "one_hot", lambda *given, **options: one_hot(*given, **options).double())


LAMBDA = torch.tensor([1.0, 10.0, 0.5, 2.0], dtype=torch.float64)


def after(alpha: Tensor | None, lambda_: Tensor, *, observed: bool, **task: Any) -> tuple[RegistrationProblem, Any]:
    """The problem after three Adam steps and one more with the given alpha and lambda, and that round's parts."""
    start = None if alpha is None else torch.zeros_like(alpha)
    problem = problem_of(derived().double() if alpha is None else supernet().double(), batch_size=2)
    problem.upper = UpperObjective(prices={"folds_percent": 1.0})
    lower = LowerStep(problem.weights, betas=(0.9, 0.999), clip=1e9)
    solve_round(problem, lower, Round(0, 0, (1e-3,) * 3, LAMBDA, start), no_reduce)
    wanted = {"update_alpha": observed and alpha is not None, "update_loss_weights": observed}
    return problem, solve_round(problem, lower, Round(1, 3, (1e-3,), lambda_, alpha, **wanted, **task), no_reduce)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("estimator", ["dot_product", "through_output"])
def test_loss_weights_gradient_through_a_network(estimator: str) -> None:
    def upper(lambda_: Tensor) -> float:
        problem, _ = after(None, lambda_, observed=False)
        return problem.loss_weights_objective(None, 3)[0].item()

    found = after(None, LAMBDA, observed=True, loss_weights_estimator=estimator)[1].loss_weights_gradient
    steps = 1e-5 * torch.diag(LAMBDA)
    numerical = [(upper(LAMBDA + h) - upper(LAMBDA - h)) / (2 * float(h.sum())) for h in steps]
    torch.testing.assert_close(found, torch.tensor(numerical, dtype=torch.float64), rtol=1e-4, atol=0)


@pytest.mark.usefixtures("in_double")
def test_alpha_gradient_through_a_supernet() -> None:
    """Along one direction of alpha."""
    alpha = 0.1 * normal(len(SMALL.edges()), 2, seed=1)
    direction, h = normal(*alpha.shape, seed=2), 1e-4

    def upper(alpha: Tensor) -> float:
        problem, _ = after(alpha, LAMBDA, observed=False)
        return (problem.architecture_terms(alpha, 3).detach() @ LAMBDA).item()

    parts = after(alpha, LAMBDA, observed=True, alpha_estimator="darts_fd")[1]
    numerical = (upper(alpha + h * direction) - upper(alpha - h * direction)) / (2 * h)
    direct, indirect = ((part * direction).sum().item() for part in (parts.alpha_direct, parts.alpha_indirect))
    assert direct + indirect == pytest.approx(numerical, rel=1e-6)
    assert indirect == pytest.approx(numerical - direct, rel=1e-4)


def run(lambda_: Tensor, alpha: Tensor, **task: Any) -> tuple[RegistrationProblem, Any]:
    """A supernet after three Adam steps and one round."""
    problem = problem_of(supernet().double(), batch_size=2)
    problem.upper = UpperObjective(prices={"folds_percent": 1.0})
    lower = LowerStep(problem.weights, betas=(0.9, 0.999), clip=1e9)
    solve_round(problem, lower, Round(0, 0, (1e-3,) * 3, LAMBDA, torch.zeros_like(alpha)), no_reduce)
    return problem, solve_round(problem, lower, Round(1, 3, loss_weights=lambda_, alpha=alpha, **task), no_reduce)


def slope(value: Callable[[Tensor], float], at: Tensor, direction: Tensor, *, h: float = 1e-5) -> float:
    return (value(at + h * direction) - value(at - h * direction)) / (2 * h)


OBSERVED = {"update_alpha": True, "update_loss_weights": True}


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("alpha_estimator", ["second_derivative", "darts_fd"])
def test_one_step_of_alpha_by_torch_and_by_difference(alpha_estimator: str) -> None:
    alpha = 0.1 * normal(len(SMALL.edges()), 2, seed=1)
    direction = normal(*alpha.shape, seed=2)
    rates = {"learning_rates": (1e-3,)}

    def upper(alpha: Tensor) -> float:
        problem, _ = run(LAMBDA, alpha, **rates)
        return (problem.architecture_terms(alpha, 3).detach() @ LAMBDA).item()

    parts = run(LAMBDA, alpha, **rates, **OBSERVED, alpha_estimator=alpha_estimator)[1]
    found = ((parts.alpha_direct + parts.alpha_indirect) * direction).sum().item()
    assert found == pytest.approx(slope(upper, alpha, direction), rel=1e-5)


@pytest.mark.usefixtures("in_double")
def test_unrolled_through_three_steps_of_a_supernet() -> None:
    alpha, rates = 0.1 * normal(len(SMALL.edges()), 2, seed=1), {"learning_rates": (1e-3, 2e-3, 1e-3)}
    direction = LAMBDA * torch.tensor([0.0, 1.0, -0.5, 1.0], dtype=torch.float64)

    def upper(lambda_: Tensor) -> float:
        problem, _ = run(lambda_, alpha, **rates)
        return problem.loss_weights_objective(alpha, 5)[0].item()

    unrolled = {"alpha_estimator": "unrolled", "loss_weights_estimator": "unrolled", "horizon": 3}
    parts = run(LAMBDA, alpha, **rates, **OBSERVED, **unrolled)[1]
    expected = slope(upper, LAMBDA, direction)
    assert (parts.loss_weights_gradient @ direction).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.usefixtures("in_double")
def test_both_paths_through_a_supernet() -> None:
    alpha, rates = 0.1 * normal(len(SMALL.edges()), 2, seed=1), {"learning_rates": (1e-3,)}
    direction = LAMBDA * torch.tensor([0.0, 1.0, -0.5, 1.0], dtype=torch.float64)

    def nested(lambda_: Tensor) -> float:
        parts = run(lambda_, alpha, **rates, update_alpha=True, alpha_estimator="darts_fd")[1]
        gradient = parts.alpha_direct + parts.alpha_indirect
        moved = alpha - 0.1 * gradient / gradient.norm()
        return run(lambda_, moved, **rates)[0].loss_weights_objective(moved, 3)[0].item()

    parts = run(LAMBDA, alpha, **rates, **OBSERVED, alpha_step=0.1, alpha_estimator="darts_fd")[1]
    through_weights, through_alpha = (
        parts.loss_weights_gradient @ direction,
        parts.loss_weights_through_alpha @ direction,
    )
    expected = slope(nested, LAMBDA, direction)
    assert (through_weights + through_alpha).item() == pytest.approx(expected, rel=1e-3)
    assert abs(through_alpha) > 0.01 * abs(expected)


def bpfl() -> nn.Module:
    return built(lambda: build_network({"name": "bpfl"}))


def test_shares_of_a_network_with_noise_and_own_terms_add_up() -> None:
    """A pair's noise is the same on whichever worker the pair is."""
    network = bpfl()
    whole = problem_of(network, batch_size=5).train_terms(None, 1)
    assert whole.shape == (len(TERMS) + 2,)
    assert (whole[len(TERMS) :] > 0).tolist() == [True, False]  # the deformation's turn, so its energy alone
    for count in (2, 3):
        shares = [problem_of(network, batch_size=5, shard=Shard(i, count)).train_terms(None, 1) for i in range(count)]
        torch.testing.assert_close(torch.stack(shares).sum(0), whole, rtol=1e-4, atol=1e-6)
    assert torch.equal(problem_of(network, batch_size=5).train_terms(None, 1), whole)
    other = problem_of(network, batch_size=5, seed=1).train_terms(None, 1)
    assert not torch.equal(other, whole)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("estimator", ["dot_product", "through_output", "darts_fd", "second_derivative"])
@pytest.mark.parametrize(("steps", "turn"), [(2, "features"), (3, "deformations")])
def test_loss_weights_gradient_through_levels_that_learn_in_turn(steps: int, turn: str, estimator: str) -> None:
    """Own terms with their weights in the objective, noise, and a last step that moves one level alone."""

    def after_steps(lambda_: Tensor, *, observed: bool) -> tuple[RegistrationProblem, Any]:
        problem = problem_of(bpfl().double(), batch_size=1)
        problem.upper = UpperObjective(prices={"folds_percent": 1.0})
        lower = LowerStep(problem.weights, betas=(0.9, 0.999), clip=1e9)
        solve_round(problem, lower, Round(0, 0, (1e-3,) * steps, start), no_reduce)
        task = Round(1, steps, (1e-3,), lambda_, update_loss_weights=observed, loss_weights_estimator=estimator)
        return problem, solve_round(problem, lower, task, no_reduce)

    def upper(lambda_: Tensor) -> float:
        problem, _ = after_steps(lambda_, observed=False)
        return problem.loss_weights_objective(None, steps)[0].item()

    start = torch.cat([LAMBDA, torch.tensor([1.0, 0.01], dtype=torch.float64)])
    direction = start * torch.tensor([0.0, 1.0, -0.5, 1.0, 0.5, 0.5], dtype=torch.float64)
    found = after_steps(start, observed=True)[1].loss_weights_gradient
    assert (found @ direction).item() == pytest.approx(slope(upper, start, direction), rel=1e-4)
    assert (found[5] == 0) == (turn == "deformations")  # the divergence is nothing to the deformation's weights
    assert (found[4] == 0) == (turn == "features")  # nor the energy to the features'


def test_registration_is_what_the_network_says() -> None:
    problem = problem_of(derived())
    batch = load_batch(VOLUMES, [("a", "b")], multiple=4, device=torch.device("cpu"))
    found = problem.register(batch, None, 0)
    assert isinstance(found, Registration)
    assert torch.equal(found.displacement, problem.network(batch.fixed.image, batch.moving.image).displacement)
