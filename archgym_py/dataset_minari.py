"""Logged designs as episodes of the sequential environments, for offline reinforcement learning."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import archgym_py
from archgym_py.config import canonical_json
from archgym_py.dataset import SampleDataset
from archgym_py.dataset_files import folder_to_be
from archgym_py.environment import SequentialDesignEnv, step_value
from archgym_py.errors import ConfigError, require
from archgym_py.evaluator import Trial
from archgym_py.log import DatasetError
from archgym_py.runner import make_env

__all__ = ["export_minari"]

_EPISODES = 1000  # that are held in memory at once
_NAME = re.compile(r"([-_\w]+/)*[-_\w]+-v\d+")


def export_minari(
    dataset: SampleDataset,
    folder: str | Path,
    *,
    name: str,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Write designs as a Minari dataset: one episode of the sequential environment for each.

    An episode is what `SequentialDesignEnv` would do: each action sets one parameter to its value
    in the logged design, the reward is 0 until the last action, which has the logged reward, and
    then the episode terminates. Nothing is simulated. A design that could not be evaluated has the
    reward of a failure.

    The dataset is `<folder>/<name>`. Minari finds it by its name if the environment variable
    MINARI_DATASETS_PATH is the folder.

    Args:
        dataset: Samples of one environment with one set of arguments, sequential or not.
        folder: The folder of Minari datasets.
        name: Id of the dataset, such as "archgym/toy/random-v0".
        progress: Called with the number of episodes that were written since the last call.

    Returns:
        The number of episodes.

    Raises:
        ConfigError: If minari is not installed, the name is no id of Minari's, or the dataset
            exists already.
        DatasetError: If there is no sample, the samples are of several problems or objectives, or
            the environment has no sequential form.
        ArchGymError: If the environment cannot be made, has a continuous parameter, or a design is
            not in its space any more.
        OSError: If a file cannot be written.

    Examples:
        >>> import tempfile
        >>> from archgym_py.config import RunConfig
        >>> from archgym_py.runner import run
        >>> with tempfile.TemporaryDirectory() as out:
        ...     config = dict(env="ArchGym/Toy-v0", agent="random_search", budget=20)
        ...     _ = run(RunConfig(**config, out=f"{out}/runs"))
        ...     export_minari(SampleDataset(f"{out}/runs"), f"{out}/minari", name="toy/random-v0")
        20
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no id of a Minari dataset. Try one such as 'archgym/toy/random-v0'."
        )
    minari = require("minari", extra="dataset")
    require("h5py", extra="dataset")
    env_id, kwargs = _problem(dataset)
    env = make_env(env_id, kwargs)
    try:
        if not isinstance(env, SequentialDesignEnv):
            raise DatasetError(f"{env_id} is no sequential environment of designs.")
        spec = deepcopy(gym.spec(env_id))  # the registry keeps its own
        spec.kwargs.update(kwargs)
        storage_class = require("minari.dataset.minari_storage", extra="dataset").MinariStorage
        buffer = require("minari.data_collector", extra="dataset").EpisodeBuffer
        with folder_to_be(Path(folder, name)) as made:
            (made / "data").mkdir()
            storage = storage_class.new(
                made / "data",
                observation_space=env.observation_space,
                action_space=env.action_space,
                env_spec=spec,
            )
            episodes = (buffer(**_episode(env, trial)) for trial in dataset.trials())
            while block := list(islice(episodes, _EPISODES)):
                storage.update_episodes(block)
                if progress is not None:
                    progress(len(block))
            storage.update_metadata(
                {
                    **_metadata(dataset, env_id, name),
                    "minari_version": minari.__version__,
                    "dataset_size": float(storage.get_size()),
                }
            )
            return int(storage.total_episodes)
    finally:
        env.close()


def _problem(dataset: SampleDataset) -> tuple[str, dict[str, Any]]:
    """Return the sequential environment of a dataset and its arguments."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for run in dataset.runs():
        kwargs: dict[str, Any] = json.loads(run.info.env_kwargs)
        for other in ("action", "render_mode"):  # on which no episode depends
            kwargs.pop(other, None)
        env_id = run.info.env_id
        if "Sequential-v" not in env_id:
            env_id = env_id.replace("-v", "Sequential-v")
        text = f"{env_id} {canonical_json(kwargs)} {run.info.objective}"
        found[text] = env_id, kwargs
    if not found:
        raise DatasetError(f"{dataset.name}: no sample is left to export.")
    if len(found) > 1:
        raise DatasetError(
            f"{dataset.name}: the samples are of {len(found)} problems or objectives, and an "
            f"export to Minari is of one environment: {'; '.join(sorted(found)[:3])}. Choose, say "
            "with --where workload=NAME."
        )
    [(env_id, kwargs)] = found.values()
    if env_id not in gym.registry:
        raise DatasetError(
            f"{dataset.name}: there is no environment {env_id} in which a step sets one parameter, "
            "so that its designs are no episodes."
        )
    return env_id, kwargs


def _episode(env: SequentialDesignEnv, trial: Trial) -> dict[str, Any]:
    """Return what happens in the environment on the way to a design."""
    design = env.space.validate(trial.design)
    actions, partial = [], {}
    observations = [env.observe({})]
    most = int(env.action_space.n)  # type: ignore[attr-defined]  # Discrete
    for parameter in env.space.parameters:
        index, count = parameter.index_of(design[parameter.name]), parameter.cardinality or 1
        action = -(-index * most // count)  # the first that floor(action * count / most) maps here
        partial[parameter.name] = step_value(env.space, parameter, action, "discrete")
        observations.append(env.observe(partial))
        actions.append(action)
    if partial != design:
        raise DatasetError(f"sample {trial.index}: no actions lead to the design {design}.")
    steps = len(actions)
    return {
        "observations": np.stack(observations),
        "actions": np.array(actions, np.int64),
        "rewards": np.array([0.0] * (steps - 1) + [trial.reward]),
        "terminations": np.arange(steps) == steps - 1,
        "truncations": np.zeros(steps, np.bool_),
    }


def _metadata(dataset: SampleDataset, env_id: str, name: str) -> Mapping[str, Any]:
    """Return what Minari says of a dataset."""
    runs = dataset.runs()
    agents = sorted({run.info.agent for run in runs})
    qualities = sorted({run.info.quality for run in runs} - {""})
    return {
        "dataset_id": name,
        "algorithm_name": ", ".join(agents),
        "description": (
            f"Designs that {', '.join(agents)} proposed, as episodes of {env_id}: a step sets one "
            f"parameter. {len(dataset)} episodes of {len(runs)} runs"
            + (f", quality {', '.join(qualities)}" if qualities else "")
            + "."
        ),
        "requirements": [f"archgym_py=={archgym_py.__version__}"],
    }
