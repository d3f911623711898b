"""Searches in the shipped spaces, small: structure that is searched, and pairs of two contrasts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from autoreg.choice import choose
from autoreg.config import Config, config_from_dict, load_space
from autoreg.data.synthetic import make_phantoms
from autoreg.networks import Genotype, Topology
from autoreg.registration.space import SearchSpace
from autoreg.search import controller
from autoreg.search.controller import SearchConfig, SearchDriver
from autoreg.setting import Setting, open_pool, open_setting, search_spec

SHORT = SearchConfig(rounds=4, warmup_rounds=1, steps_per_round=2, learning_rate=2e-3)


def run(config: Config, setting: Setting, space: SearchSpace) -> tuple[SearchDriver, list[dict]]:
    """A search without a folder: the driver afterwards, and its rows."""
    driver = SearchDriver(space, config.search, bounds={"folds_percent": 0.3}, seed=0)
    local = replace(config, workers=replace(config.workers, local=True, count=1))
    with open_pool(search_spec(local, setting, space, setting.roles(0)), local, None) as pool:
        driver.prepare(pool, setting.image_shape)
        rows = [driver.finish(i, pool.run_round(driver.task(i)), pool) for i in range(config.search.rounds)]
        if config.search.removal:
            driver.weigh(pool)
    return driver, rows


def small_topology(space: SearchSpace) -> SearchSpace:
    return replace(space, topology=Topology(("cost", "decoded"), 1, (0.5, 1.0)))


@pytest.mark.parametrize("relaxation", ["softmax", "single-path", "partial-channel"])
def test_structure_is_searched_with_the_primitives(smoke_setting, relaxation: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(controller, "IMPORTANCE_BATCHES", 1)
    config, setting, space = smoke_setting
    space = small_topology(space)
    removal = relaxation == "softmax"
    driver, rows = run(
        replace(config, search=replace(SHORT, relaxation=relaxation, removal=removal, max_params=9000)), setting, space
    )
    alpha, there = driver.upper.alpha.numpy(), space.choices.there
    assert np.array_equal(np.isfinite(alpha), there)
    start = SearchDriver(space, SHORT, bounds={"folds_percent": 0.3}, seed=0).upper.alpha.numpy()
    assert (alpha != start)[there].all()
    assert np.isfinite([v for v in rows[-1].values() if isinstance(v, float)]).all()
    assert sum(rows[-1][f"alpha.levels.{n}"] for n in (1, 2)) == pytest.approx(1)
    assert set(driver.genotypes()) == ({"by alpha", "by removal"} if removal else {"by alpha"})
    for genotype in driver.genotypes().values():
        assert driver.costs(genotype)["params"] <= 9000
        path = tmp_path / "genotype.yaml"
        path.write_text(yaml.safe_dump(genotype.to_dict()))
        taken = choose(config, genotype=path).network["genotype"]
        assert Genotype.from_dict(taken) == genotype


def test_a_resumed_driver_goes_on_alike(smoke_setting) -> None:
    config, setting, space = smoke_setting
    driver, _ = run(replace(config, search=replace(SHORT, max_params=9000)), setting, small_topology(space))
    again = SearchDriver(small_topology(space), driver.config, bounds={"folds_percent": 0.3}, seed=1)
    again.load(driver.state())
    assert torch.equal(again.upper.alpha, driver.upper.alpha)
    assert again.genotypes() == driver.genotypes()


def test_terms_for_two_contrasts_are_mixed(tmp_path) -> None:
    dataset = make_phantoms(tmp_path / "data", subjects=8, modalities=("t1", "t2"), shape=(24, 24, 24), seed=0)
    data = {"fixed_modality": "0000", "moving_modality": "0001"}
    config = config_from_dict({"space": "multimodal", "data": data}, "test")
    setting = open_setting(config, dataset)
    space = load_space("multimodal", dims=3)
    assert {"lncc", "mind", "mi"} <= {term.kind for term in space.terms}
    _, rows = run(replace(config, search=replace(SHORT, rounds=2, warmup_rounds=0)), setting, space)
    for name in ("mi", "lncc", "smoothness"):
        assert rows[0][f"lambda.{name}"] != rows[1][f"lambda.{name}"]
    assert all(0 < rows[-1][f"term.{name}"] < 2 for name in ("mind", "mi", "lncc"))


@pytest.mark.slow
def test_the_shipped_topology_space_searches(smoke_setting) -> None:
    config, setting, _ = smoke_setting
    driver, _ = run(replace(config, search=SHORT), setting, load_space("topology", dims=3))
    (genotype,) = driver.genotypes().values()
    assert genotype.architecture.levels in (2, 3)
