import subprocess
import sys
import warnings

import gymnasium as gym
import pytest

from archgym_py.environment import DesignEnv, DesignVectorEnv
from archgym_py.registration import ENVS, EnvEntry, register_all


@pytest.mark.parametrize("entry", ENVS, ids=lambda entry: entry.id)
def test_entry_points_load_and_agree(entry: EnvEntry) -> None:
    env = gym.make(entry.id)
    assert isinstance(env.unwrapped, DesignEnv) is entry.is_design
    assert env.unwrapped.spec is not None
    assert env.unwrapped.spec.id == entry.id
    if entry.vector_entry_point is not None:
        envs = gym.make_vec(entry.id, num_envs=2)
        assert isinstance(envs, DesignVectorEnv) is entry.is_design
        assert envs.single_action_space == env.action_space
        envs.close()
    env.close()


def test_documentation_is_one_line() -> None:
    for entry in ENVS:
        assert entry.doc
        assert "\n" not in entry.doc


def test_registering_again_changes_nothing() -> None:
    specs = [gym.spec(entry.id) for entry in ENVS]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register_all()
    assert [gym.spec(entry.id) for entry in ENVS] == specs


def test_gymnasium_imports_the_package_by_itself() -> None:
    program = "import gymnasium as g; print(g.make('archgym_py:ArchGym/Toy-v0').spec.id)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "ArchGym/Toy-v0"


def test_importing_the_package_imports_no_environment() -> None:
    program = (
        "import sys, archgym_py\n"
        "print([m for m in sys.modules if m.startswith('archgym_py.') "
        "and m.split('.')[1] in ('envs', 'agents', 'simulators')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_unknown_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="objectiv"):
        gym.make("ArchGym/Toy-v0", objectiv="minimize:delay_ns")
