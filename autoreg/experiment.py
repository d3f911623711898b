"""Start here: each command as one short function, configuration in, result out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from autoreg.begun import go_on_from
from autoreg.choice import Choice, fit_dims, in_order, plain_network, write_choice
from autoreg.config import Config, changed, config_from_dict, load_space, read_yaml, write_yaml
from autoreg.data.landmarks import pair_landmarks
from autoreg.data.splits import Roles
from autoreg.errors import InputError
from autoreg.evaluation.fields import save_fields
from autoreg.evaluation.pairs import evaluate_pairs, summary, typical_pair, warn_where_worse
from autoreg.files import make_folder, result_file
from autoreg.finals import draw_front, play_off
from autoreg.networks import weight_count
from autoreg.pictures import draw_history, draw_pair
from autoreg.records import (
    evaluated_otherwise,
    record_evaluation,
    run_plan,
    system_folder,
    system_name,
    track_comparison,
    track_evaluation,
    trained_on,
)
from autoreg.refinement import with_grids
from autoreg.registration.model import load_model, save_model
from autoreg.registration.refine import register_refined, unsupervised
from autoreg.registration.space import SearchSpace
from autoreg.reporting.compare import compare_runs
from autoreg.reporting.watch import Watch
from autoreg.search.controller import SearchDriver
from autoreg.search.faults import Place
from autoreg.search.finalists import Finalist, loss_weights_along
from autoreg.search.front import front_candidates
from autoreg.search.moving import MovingLossWeights, moving_rounds
from autoreg.search.rounds import run_rounds, survive
from autoreg.search.run import MLFLOW_MODEL, Run, open_run
from autoreg.search.training import TrainDriver
from autoreg.serving.package import package_model
from autoreg.setting import Setting, check_devices, open_pool, open_setting, search_spec, training_spec
from autoreg.storage import Location
from autoreg.workers.messages import WorkerSpec

FIGURES_OF_WINNER = ("val_dice", "folds_percent", "sdlogj", "score")
"""So far as its training went, on the selection pairs: what result.json of a search reports."""


def search(
    config: Config,
    *,
    dataset: Location | None,
    output: Path,
    resume: bool = False,
    watch: Watch | None = None,
    tracked: bool = True,
) -> Path:
    """Search alpha and lambda together with the weights; the folder then holds genotype and loss weights.

    With `search.network` lambda alone, for that network; then there is no genotype.

    Raises:
        InputError: wrong configuration or data, before any work starts.
        WorkerError, DivergedError: the search stopped; `resume=True` goes on from its last round.
    """
    check_devices(config.workers)
    setting = open_setting(config, dataset)
    space = load_space(config.space, dims=setting.dims)
    roles = setting.roles(config.seed)
    spec = search_spec(config, setting, space, roles)
    driver = SearchDriver(space, config.search, bounds=config.score.bounds, seed=config.seed)
    watch = watch or Watch()
    plan = replace(run_plan("search", config, setting, output), tracked=tracked)
    with open_run(plan, resume=resume, progress=watch.counter("search")) as run:
        write_yaml(output / "config.yaml", run.plan.config)
        run.tracker.tags({"roles_shared": "; ".join(roles.notes) or "none"})
        _search_rounds(driver, spec, config, run, setting.image_shape, resume=resume)
        trainings = _Trainings(config, spec.network, setting.dataset.path, watch)
        chosen, played = play_off(
            driver.finalists(),
            partial(loss_weights_along, space),
            run,
            trainings.first_rounds,
            most=config.search.finalists if has_labelled_pairs(setting, roles) else 1,
            rounds=config.train.rounds_to_look(config.search.finalist_steps),
        )
        if config.search.pareto and chosen.genotype:
            genotypes = {"chosen": chosen.genotype, "fast": driver.fast_genotype(chosen.genotype)}
            around = front_candidates(space, genotypes, chosen.loss_weights)
            draw_front(around, run, trainings.brief, lambda model: _measured(model, setting, roles, config))
        if chosen.genotype:
            write_yaml(output / "genotype.yaml", chosen.genotype.to_dict())
        write_yaml(output / "loss_weights.yaml", chosen.loss_weights)
        run.finish(**_found(run, config, driver, chosen, played), roles_shared=list(roles.notes))
        draw_history(run)
    return output


def _search_rounds(
    driver: SearchDriver, spec: WorkerSpec, config: Config, run: Run, image_shape: tuple[int, ...], *, resume: bool
) -> None:
    """What needs the workers: costs measured, the rounds, and the importances where they were asked for."""
    with open_pool(spec, config, run.journal.ledger.heartbeat) as pool:
        survived = partial(survive, pool=pool, journal=run.journal, phase="search")
        survived(lambda place: driver.prepare(pool, image_shape), Place(0, None, pool.shares), key="costs")
        last = run_rounds(driver, pool, run.journal, resume=resume)
        if config.search.removal:
            survived(lambda place: driver.weigh(pool), last, key="importances")


def _found(
    run: Run, config: Config, driver: SearchDriver, chosen: Finalist, played: list[dict[str, Any]]
) -> dict[str, Any]:
    """What result.json says of a search."""
    of_winner = next((row for row in reversed(played) if row["name"] == chosen.name), None)
    last = _last_values(run, ("soft_dice", "folds_percent", "alpha_entropy", "train_objective"))
    return {
        "metrics": last | ({name: of_winner[name] for name in FIGURES_OF_WINNER} if of_winner else {}),
        "network": config.search.network or "autoreg",
        "genotype": dict(chosen.genotype.edges) if chosen.genotype else None,
        "loss_weights": chosen.loss_weights,
        "chosen": chosen.name,
        "decided": driver.decided(),
        "finalists": played,
        "costs": driver.costs(chosen.genotype) if chosen.genotype else {},
    }


@dataclass(frozen=True)
class _Trainings:
    """Of finalists, each in a folder of its own; a folder that holds a part is gone on with."""

    config: Config
    network: Mapping[str, Any]
    """Of finalists that bring no architecture."""
    dataset: Path | None
    watch: Watch

    def first_rounds(self, finalist: Finalist, folder: Path, name: str, rounds: int, begun: Path | None) -> None:
        """Of the final training."""
        self._train(self.config, finalist, folder, name, until=rounds, begun=begun, searched=True)

    def brief(self, finalist: Finalist, folder: Path, name: str) -> None:
        """A whole training of few steps, its learning rate down to zero."""
        steps = self.config.search.finalist_steps
        brief = replace(self.config.train, steps=steps, evaluate_every=steps)
        self._train(replace(self.config, train=brief), finalist, folder, name)

    def _train(
        self,
        config: Config,
        finalist: Finalist,
        folder: Path,
        name: str,
        *,
        begun: Path | None = None,
        searched: bool = False,
        **options: Any,
    ) -> None:
        network = {"genotype": finalist.genotype.to_dict()} if finalist.genotype else dict(self.network)
        choice = Choice(network, finalist.loss_weights, begun=begun, searched=searched)
        options |= {"dataset": self.dataset, "watch": self.watch.named(name), "resume": True, "tracked": False}
        train(config, choice, output=folder, **options)


def train(
    config: Config,
    choice: Choice,
    *,
    dataset: Location | None,
    output: Path,
    resume: bool = False,
    watch: Watch | None = None,
    tracked: bool = True,
    until: int | None = None,
) -> Path:
    """Train the weights of a chosen network; the folder then holds model.pt.

    From scratch, or from where the play-off of a search left the same training: the result is the same.

    Args:
        until: stop after so many rounds.

    Raises:
        InputError, WorkerError, DivergedError: as `search`.
    """
    check_devices(config.workers)
    setting = open_setting(config, dataset)
    space = load_space(config.space, dims=setting.dims)
    roles = setting.roles(config.seed)
    network = fit_dims(choice.network, setting.dims)
    weights = in_order(choice.loss_weights, space)
    moving = _moving(config, space, weights) if choice.searched else None
    moving_steps = moving.rounds.stop * config.train.steps_per_round if moving else 0
    spec = training_spec(config, setting, space, roles, network, moving_steps=moving_steps)
    pairs = setting.selection_pairs(roles)
    driver = TrainDriver(config.train, weights, score=config.score, pairs=pairs, moving=moving)
    earlier = choice.source["device_seconds"] if choice.source else {}
    watch = watch or Watch()
    plan = replace(run_plan("train", config, setting, output), parent=choice.source, tracked=tracked)
    with open_run(plan, resume=resume, progress=watch.counter("train"), earlier_seconds=earlier) as run:
        write_yaml(output / "config.yaml", run.plan.config)
        write_choice(output, choice, weights)
        run.begin(
            loss_weights=weights,
            network=choice.network.get("name", "autoreg" if "genotype" in choice.network else None),
            source=choice.origin(),
            searched=choice.searched,
        )
        if choice.begun and not (output / "checkpoints").exists():
            resume = go_on_from(choice.begun, run.plan, choice, weights)
        with open_pool(spec, config, run.journal.ledger.heartbeat) as pool:
            place = run_rounds(driver, pool, run.journal, resume=resume, until=until)
        _save_trained(output, config, setting, network, space, driver, package=tracked)
        run.finish(
            loss_weights=driver.loss_weights,
            metrics={**driver.best["summary"], "weights": weight_count(load_model(output).network)},
            genotype=choice.network.get("genotype", {}).get("edges"),
            steps=min(place.rounds * config.train.steps_per_round, config.train.steps),
        )
        if tracked:
            draw_history(run)
    return output


def _save_trained(
    output: Path,
    config: Config,
    setting: Setting,
    network: Mapping[str, Any],
    space: SearchSpace,
    driver: TrainDriver,
    *,
    package: bool,
) -> None:
    """model.pt with the best state and all that its use needs; as a package of MLflow, too, if asked for."""
    save_model(
        output / "model.pt",
        description=plain_network(network),
        weights={name: torch.tensor(values) for name, values in driver.best["weights"].items()},
        data={"foreground": config.data.foreground, "percentiles": list(config.data.percentiles)},
        labels=setting.labels,
        loss_weights=driver.loss_weights,
        common_affine=setting.common_affine,
        terms=[asdict(term) for term in space.terms],
    )
    if package:
        package_model(output / "model.pt", output / MLFLOW_MODEL)


def _moving(config: Config, space: SearchSpace, weights: Mapping[str, float]) -> MovingLossWeights | None:
    """Searched loss weights that go on moving in the training; None where they rest. Raises InputError."""
    rounds = moving_rounds(config.search.moves_until, config.train.rounds)
    if not rounds or config.search.levels == "alpha":
        return None
    upper, steps = config.search.upper, config.train.steps_per_round
    if upper.loss_weights_estimator == "unrolled" and upper.horizon > steps:
        expected = f"expected at least {upper.horizon} (search.upper.horizon) where loss weights go on moving"
        raise InputError(f"train.steps_per_round: {expected}, got {steps}")
    for name, weight in weights.items():
        if weight <= 0:
            where = f"loss weights: {name}: expected more than 0, since its log moves"
            raise InputError(f"{where} (search.moves_until {config.search.moves_until}), got {weight}")
    return MovingLossWeights(space.terms, weights, upper, bounds=config.score.bounds, rounds=rounds)


def evaluate(
    model_folder: Path,
    *,
    dataset: Location | None,
    split: str = "test",
    config: Config | None = None,
    overrides: Sequence[str] = (),
    output: Path | None = None,
    fields: bool = False,
    refine: int = 0,
    watch: Watch | None = None,
) -> Path:
    """Score a model on the pairs of a split, each refined by so many steps; pairs.parquet has a row a pair and label.

    `overrides`, as `data.pairs=test_pairs_t1_to_t1`, change how the data are read from how the model's were.

    Raises:
        InputError: no such model, a model that cannot be refined, no pairs in the split, or data that cannot be used.
    """
    if other := [text for text in overrides if not text.startswith("data.")]:
        raise InputError(
            f"--set: expected keys of `data` alone, since nothing is trained, got {other[0].partition('=')[0]}"
        )
    folder = model_folder if model_folder.is_dir() else model_folder.parent
    saved = folder / "config.yaml"
    config = config or (config_from_dict(read_yaml(saved), str(saved)) if saved.exists() else Config())
    config = changed(config, overrides)
    model = load_model(model_folder)
    if refine:
        unsupervised(model)  # refused before anything is written
    setting = open_setting(config, dataset)
    pairs = setting.dataset.pairs(split)  # type: ignore[arg-type]
    if not pairs:
        raise InputError(f"{setting.dataset.path}: {split}: expected pairs or subjects in this split, got none")
    ways = evaluated_otherwise(folder, setting.dataset.name, overrides, refine)
    watch = watch or Watch()
    if refine and not overrides and trained_on(folder) == setting.dataset.name:
        counter = watch.counter("refinement, validation pairs")
        model = with_grids(model, model_folder, setting, config, steps=refine, device=_device(), progress=counter)
    output = output or system_folder(folder, ways) / split
    make_folder(output)
    points = pair_landmarks(setting.dataset, pairs)
    frame = evaluate_pairs(
        model,
        setting.volumes,
        pairs,
        label_numbers=tuple(setting.labels),
        device=_device(),
        refine=refine,
        points=points,
        progress=watch.counter("evaluate"),
    )
    with result_file(output / "pairs.parquet") as file:
        frame.to_parquet(file, index=False)
    if fields:
        save_fields(output / "fields", model, setting.volumes, pairs, refine=refine, device=_device())
    metrics = summary(frame)
    warn_where_worse(metrics)
    record_evaluation(folder, output, setting, split, metrics, refine=refine, halvings=model.halvings)
    shown = typical_pair(frame)
    displacement = register_refined(model, setting.volumes, shown, steps=refine, device=_device())
    draw_pair(setting.volumes[shown[0]], setting.volumes[shown[1]], displacement, output)
    track_evaluation(folder, output, f"{split}-{system_name(ways)}" if ways else split, metrics)
    return output


def compare(runs: list[Path], *, output: Path | None = None) -> str:
    """The comparison's table as text; the folder has it as CSV, Markdown, PNG and HTML. Raises InputError."""
    output = output or runs[0].parent / "compare"
    comparison = compare_runs(runs, output=output)
    track_comparison(runs, comparison)
    return f"{comparison.text()}\n\nreport: {output / 'compare.html'}"


def _measured(model_folder: Path, setting: Setting, roles: Roles, config: Config) -> dict[str, float]:
    """Figures of a model on the selection pairs."""
    pairs = setting.selection_pairs(roles)[: config.train.selection_pairs]
    model, labels = load_model(model_folder), tuple(setting.labels)
    found = summary(evaluate_pairs(model, setting.volumes, pairs, label_numbers=labels, device=_device()))
    names = {"dice": "test_dice", "hd95_mm": "hd95_mm", "folds_percent": "folds_percent", "sdlogj": "sdlogj"}
    return {name: found[key] for name, key in (names | {"seconds_a_pair": "seconds_a_pair"}).items()}


def has_labelled_pairs(setting: Setting, roles: Roles) -> bool:
    """Whether models can be chosen by the score."""
    pairs = setting.selection_pairs(roles)
    return any(all(setting.volumes[key].labels is not None for key in pair) for pair in pairs)


def _last_values(run: Run, names: tuple[str, ...]) -> dict[str, float]:
    last = run.journal.rows[-1] if run.journal.rows else {}
    return {name: float(last[name]) for name in names if name in last}


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
