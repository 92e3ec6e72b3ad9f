"""Settings that contradict each other are refused."""

from __future__ import annotations

from typing import Any

import pytest

from archgym_py.errors import ConfigError
from archgym_py.simulators.soc.settings import Settings
from archgym_py.simulators.soc.simulation import simulate


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"durations": True, "noise_std": 0.1}, "exclude each other"),
        ({"throttling": True, "power": False}, "throttling=True needs power=True"),
        ({"low_load": 0.9, "high_load": 0.5}, r"low_load must be at most high_load, got 0\.9"),
        ({"warmup_us": 5.0, "length_us": 5.0}, "warmup_us must be less than length_us"),
        ({"trip_celsius": None}, "trip_celsius lists temperatures, got None"),
        ({"trip_celsius": (90.0, 80.0)}, "trip_celsius must rise"),
        ({"governor": 3}, "governor is a name, or names by cluster, got 3"),
    ],
)
def test_contradictions(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**given)


def test_what_a_simulation_cannot_draw() -> None:
    with pytest.raises(ConfigError, match="needs jobs with their times"):
        simulate("top", "canonical", n_jobs=1, settings=Settings(durations=True))
    ends: dict[str, Any] = {"kind": "trace", "times_us": [0, 1, 2]}
    settings = Settings(compat="ds3gym", max_jobs_in_flight=3)
    with pytest.raises(ConfigError, match="Take arrivals that go on"):
        simulate("ds3gym", "top_1", arrivals=ends, n_jobs=3, settings=settings)


def test_the_governor_of_a_cluster_is_a_name() -> None:
    settings = Settings(governor={"A15": 1000})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="the governor of cluster 'A15' is a name, got 1000"):
        simulate("multiple_bal", "lag_detection", n_jobs=1, settings=settings)


def test_a_scheduler_chooses_a_number() -> None:
    class Silent:
        def choose(self, decision: object) -> int:
            return None  # type: ignore[return-value]

    with pytest.raises(ConfigError, match="a scheduler chooses the number of a PE, got None"):
        simulate("multiple_bal", "lag_detection", n_jobs=1, scheduler=Silent())
