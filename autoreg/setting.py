"""What every command opens first: the data set, its roles, its cache, and the workers that will use them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from autoreg.config import Config
from autoreg.data.dataset import Dataset, load_dataset
from autoreg.data.fetched import local_dataset
from autoreg.data.pairs import PairSampler, Then
from autoreg.data.shards import VolumeStore, build_cache, node_copy, open_cache
from autoreg.data.splits import Roles, split_roles
from autoreg.errors import ConfigError
from autoreg.extensions import loaded_extensions
from autoreg.registration.problem import Samplers
from autoreg.registration.space import SearchSpace
from autoreg.storage import Location, is_uri
from autoreg.workers.config import WorkerConfig
from autoreg.workers.messages import WorkerSpec
from autoreg.workers.pool import LocalPool, Pool


@dataclass(frozen=True)
class Setting:
    """A data set, opened and checked: every file was read once."""

    dataset: Dataset
    source: str
    """Where dataset.json is, as any machine would find it: a full path or a URI."""
    cache: Location
    volumes: VolumeStore
    labels: dict[int, str]
    """Foreground labels."""
    dims: int
    common_affine: bool

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Voxels of the largest volume, axis by axis."""
        shapes = [volume.image.shape for volume in self.volumes.values()]
        return tuple(max(sizes) for sizes in zip(*shapes, strict=True))

    def training_subjects(self, roles: Roles) -> list[str]:
        """Everyone whom neither selection nor test needs: a final training may use them all."""
        kept = set(roles.weights) | set(roles.architecture) | set(roles.loss_weights)
        return sorted(kept - set(roles.selection) - set(roles.test)) or sorted(roles.weights)

    def selection_pairs(self, roles: Roles) -> list[tuple[str, str]]:
        """Pairs that models are chosen by: the file's val pairs, or all of the selection subjects."""
        return self.dataset.pairs("val") if self.dataset.val else self.dataset.all_pairs(roles.selection)

    def roles(self, seed: int) -> Roles:
        """The five subject sets."""
        return split_roles(self.dataset, seed=seed)


def open_setting(config: Config, dataset: Location | None) -> Setting:
    """Open a data set; the cache is built when it is not there, which reads and checks every file.

    Raises:
        ConfigError: no data set was named.
        DataError: a file cannot be used; names file and field.
        StorageError: the store of the data set or of the cache does not answer.
    """
    path = dataset or config.dataset
    if path is None:
        raise ConfigError("dataset: expected --dataset PATH/dataset.json, or dataset: in the configuration, got none")
    opened = load_dataset(local_dataset(path), config.data)
    cache = build_cache(opened, config.data)
    volumes = open_cache(node_copy(cache))
    labels = {number: name for number, name in opened.label_names.items() if number != 0}
    affines = [volume.affine for volume in volumes.values()]
    common = all(np.allclose(affine, affines[0], atol=1e-3) for affine in affines)
    dims = next(iter(volumes.values())).image.ndim
    source = str(path) if is_uri(str(path)) else str(opened.path.resolve())
    return Setting(opened, source, cache, volumes, labels, dims, common)


def search_spec(config: Config, setting: Setting, space: SearchSpace, roles: Roles) -> WorkerSpec:
    """Workers of a search: the supernet or the network whose loss weights are searched, and pairs for each level."""
    by_name = config.search.network
    network = space.named_network(by_name) if by_name else {"supernet": space.choices.to_dict()}
    samplers = Samplers(
        weights=PairSampler(setting.dataset, roles.weights, seed=config.seed),
        architecture=PairSampler(setting.dataset, roles.architecture, seed=config.seed + 1),
        loss_weights=PairSampler(setting.dataset, roles.loss_weights, seed=config.seed + 2),
    )
    return WorkerSpec(
        cache=str(setting.cache),
        network=network,
        terms=space.terms,
        labels=tuple(setting.labels),
        samplers=samplers,
        batch_size=config.search.batch_size,
        seed=config.seed,
        relaxation=config.search.relaxation,
        activation=config.search.activation,
        upper_level=config.search.upper_level,
        extensions=loaded_extensions(),
        average_every=config.workers.average_every,
        threads=config.workers.threads,
        precision=config.workers.precision,
        checkpointing=config.workers.checkpointing,
    )


def training_spec(
    config: Config,
    setting: Setting,
    space: SearchSpace,
    roles: Roles,
    network: dict[str, Any],
    *,
    moving_steps: int = 0,
) -> WorkerSpec:
    """Workers of a training of one network; in its first so many steps the loss weights move, on subjects of theirs."""
    subjects = setting.training_subjects(roles)
    everyone = PairSampler(setting.dataset, subjects, seed=config.seed)
    samplers = Samplers(weights=everyone)
    if moving_steps:
        others = {*subjects} - {*roles.loss_weights} or subjects  # few people share roles
        samplers = Samplers(
            weights=Then(PairSampler(setting.dataset, others, seed=config.seed), moving_steps, everyone),
            loss_weights=PairSampler(setting.dataset, roles.loss_weights, seed=config.seed + 2),
        )
    return WorkerSpec(
        cache=str(setting.cache),
        network=network,
        terms=space.terms,
        labels=tuple(setting.labels),
        samplers=samplers,
        batch_size=config.train.batch_size,
        seed=config.seed,
        upper_level=config.search.upper_level,
        augment=config.train.augment,
        extensions=loaded_extensions(),
        average_every=config.workers.average_every,
        threads=config.workers.threads,
        precision=config.workers.precision,
        checkpointing=config.workers.checkpointing,
    )


def check_devices(workers: WorkerConfig) -> None:
    """Raises ConfigError when this machine has not the GPUs that its workers ask for; clusters are asked by Ray."""
    here, needed = torch.cuda.device_count(), workers.gpus * workers.fewest
    if not workers.address and needed > here:
        asked = f"{needed:g} for {workers.fewest} workers" if workers.fewest > 1 else f"{needed:g}"
        raise ConfigError(
            f"workers.gpus: expected at most the {here} GPUs of this machine, got {asked}; without --gpus-per-worker "
            "the CPUs are used, and --address names a cluster"
        )


@contextmanager
def open_pool(spec: WorkerSpec, config: Config, heartbeat: Any) -> Iterator[Pool]:
    """The workers, ended afterwards whatever happens.

    Raises:
        ConfigError: more workers than pairs in a batch.
    """
    most = config.workers.most
    if spec.batch_size < most:
        name = "count" if config.workers.max is None else "max"
        raise ConfigError(f"workers.{name}: expected at most {spec.batch_size} (pairs of a batch), got {most}")
    if config.workers.local:
        pool: Pool = LocalPool(spec, shares=most)
    else:
        from autoreg.workers.ray_pool import RayPool  # Ray takes a second to import

        pool = RayPool(spec, config.workers, heartbeat=heartbeat)
    try:
        yield pool
    finally:
        pool.close()
