import gymnasium as gym
import pytest

from archgym_py.agents.random_search import RandomSearch
from archgym_py.environment import DesignEnv
from archgym_py.errors import ConfigError
from archgym_py.evaluator import MemoryRecorder
from archgym_py.simulators.toy import TOY_SPACE
from archgym_py.space import Choice, Integer, ParameterSpace


def test_samples_are_feasible_and_the_same_for_every_batch_size() -> None:
    def run(batch_size: int) -> list[str]:
        env = gym.make("ArchGym/Toy-v0").unwrapped
        assert isinstance(env, DesignEnv)
        memory = MemoryRecorder()
        env.new_evaluator(budget=100, recorder=memory)
        RandomSearch(env.space, seed=3, batch_size=batch_size).run(env)
        assert all(trial.status == "ok" for trial in memory.trials)
        return [trial.key for trial in memory.trials]

    assert run(1) == run(7) == run(4096)


def test_every_value_is_equally_likely() -> None:
    space = ParameterSpace((Integer("x", 0, 9), Choice("y", ("a", "b", "c"))))
    designs = RandomSearch(space, seed=0, batch_size=4096).ask(6000)
    for parameter in space.parameters:
        count = parameter.cardinality or 0
        expected = len(designs) / count
        drawn = [design[parameter.name] for design in designs]
        chi2 = sum(
            (drawn.count(parameter.value_at(i)) - expected) ** 2 / expected for i in range(count)
        )
        assert chi2 < 27.9  # 99.9 % for 9 degrees of freedom, more for fewer


def test_unknown_hyperparameter() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'batch_size'"):
        RandomSearch(TOY_SPACE, seed=0, batchsize=3)
