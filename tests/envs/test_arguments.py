import pytest

from archgym_py.envs.arguments import refuse_unknown
from archgym_py.errors import ConfigError


class Thing:
    def __init__(self, *, workload: str = "", depth: int = 1, **unknown: object) -> None:
        refuse_unknown(Thing, "the thing", unknown)


def test_known_arguments_pass() -> None:
    Thing(workload="a", depth=2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("worklod", "the thing has no argument 'worklod'. Did you mean 'workload'?"),
        ("Depth", "the thing has no argument 'Depth'. Did you mean 'depth'?"),
        ("unknown", "the thing has no argument 'unknown'."),
        ("zzz", "the thing has no argument 'zzz'."),
    ],
)
def test_unknown_arguments(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Thing(**{name: 1})  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
