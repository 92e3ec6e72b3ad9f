"""`archgym evaluate`: designs come in as lines of JSON, metrics go out in the same order."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from archgym_py.config import canonical_json, unique_object
from archgym_py.environment import DesignEnv
from archgym_py.errors import ArchGymError, ConfigError, did_you_mean
from archgym_py.evaluator import Evaluator, Trial
from archgym_py.runner import make_env, metrics_evaluator
from archgym_py.simulator import Status

__all__ = ["BadLine", "answers"]

_KEYS = ("id", "design", "kwargs")
_MAX_ENVS = 64  # environments that are kept for lines to come: some traces on every technology
_MAX_REASON = 1000  # characters of a reason, which may quote a value of any length


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that has no answer.

    Attributes:
        number: Number of the line, from 1.
        reason: What is wrong with it.
    """

    number: int
    reason: str


def answers(
    lines: Iterable[bytes],
    env_id: str,
    *,
    kwargs: Mapping[str, Any] | None = None,
    use_defaults: bool = False,
) -> Iterator[dict[str, Any] | BadLine]:
    """Evaluate a stream of designs one by one.

    Each line is a JSON object with an `id`, a `design` and, where wanted, `kwargs`: arguments of
    the environment. Environments, with their simulators and decoded traces, are kept and used
    again for lines with equal arguments. Empty lines are passed over.

    Args:
        lines: The lines, UTF-8; a line is read only when the one before it is answered.
        env_id: Gymnasium id of the environment.
        kwargs: Arguments of the environment for all lines; a line's own go before them.
        use_defaults: Whether parameters that a design does not have take their default. Otherwise
            every parameter has to be there.

    Yields:
        For each line, in order, `id`, `status` and `metrics`, with a `message` where the status is
        not ok; or what is wrong with the line.

    Raises:
        UnknownNameError: If no environment has the id.

    Examples:
        >>> lines = [b'{"id": 7, "design": {"lanes": 8}}', b'{"id": 8, "design": {"lane": 8}}']
        >>> good, bad = answers(lines, "ArchGym/Toy-v0", use_defaults=True)
        >>> good["id"], good["status"], list(good["metrics"])
        (7, 'ok', ['cost_usd', 'delay_ns'])
        >>> bad.number
        2
    """
    common = dict(kwargs or {})
    with _Evaluators(env_id) as evaluators:
        evaluators.get(common)  # an id or an argument that is wrong for all lines is no bad line
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                request = _parse(line)
                evaluator = evaluators.get({**common, **request.get("kwargs", {})})
                design = request["design"]
                if use_defaults:
                    design = evaluator.space.fill_defaults(design)
                yield _answer(request["id"], evaluator.evaluate(design))
            except ArchGymError as error:
                yield BadLine(number, _shortened(str(error)))


def _shortened(reason: str) -> str:
    left = len(reason) - _MAX_REASON
    return reason if left <= 0 else f"{reason[:_MAX_REASON]}... ({left} characters more)"


class _Evaluators:
    """Environments by their arguments; the one not used for longest goes first."""

    def __init__(self, env_id: str) -> None:
        self._env_id = env_id
        self._kept: OrderedDict[str, tuple[DesignEnv, Evaluator]] = OrderedDict()

    def __enter__(self) -> _Evaluators:
        return self

    def __exit__(self, *exception: object) -> None:
        for env, _ in self._kept.values():
            env.close()

    def get(self, kwargs: Mapping[str, Any]) -> Evaluator:
        """Return the evaluator of an environment with these arguments."""
        key = canonical_json(kwargs)
        if key not in self._kept:
            env = make_env(self._env_id, kwargs)
            self._kept[key] = env, metrics_evaluator(env)
            if len(self._kept) > _MAX_ENVS:
                _, (oldest, _) = self._kept.popitem(last=False)
                oldest.close()
        self._kept.move_to_end(key)
        return self._kept[key][1]


def _parse(line: bytes) -> dict[str, Any]:
    """Read a line strictly: no duplicate key, no NaN, no key but the known ones."""
    try:
        request = json.loads(
            line.decode("utf-8-sig"),
            object_pairs_hook=unique_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except ConfigError:
        raise
    except RecursionError:
        raise ConfigError("not valid JSON: nested too deeply.") from None
    except ValueError as error:
        raise ConfigError(f"not valid JSON: {error}.") from None
    if not isinstance(request, dict):
        raise ConfigError(f"not a JSON object with the keys id and design, but {request!r}.")
    for key in request:
        if key not in _KEYS:
            raise ConfigError(f"unknown key {key!r}.{did_you_mean(key, _KEYS)}")
    for key in ("id", "design"):
        if key not in request:
            raise ConfigError(f"the key {key!r} is missing.")
    for key in ("design", "kwargs"):
        if not isinstance(request.get(key, {}), dict):
            raise ConfigError(f"{key!r} must be an object, got {request[key]!r}.")
    return request


def _refuse_constant(name: str) -> float:
    raise ConfigError(f"{name} is not a number that JSON knows.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ConfigError(f"{text} is too large for a number.")
    return number


def _answer(request_id: Any, trial: Trial) -> dict[str, Any]:
    answer = {"id": request_id, "status": trial.status.value, "metrics": dict(trial.metrics)}
    return answer if trial.status is Status.OK else {**answer, "message": trial.message}
