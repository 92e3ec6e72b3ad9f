"""The space of designs: one encoding of a design for agents, logs and simulators alike.

A `ParameterSpace` lists the parameters of a design and the constraints between them. A design is a
plain dictionary with one value for each parameter.

    >>> space = ParameterSpace(
    ...     (
    ...         Choice("cache", ("none", "direct", "lru"), doc="cache organisation"),
    ...         Ordinal("cache_kib", (16, 32, 64), active_when={"cache": ("direct", "lru")}),
    ...         Integer("cores", 1, 4),
    ...     )
    ... )
    >>> space.size
    36
    >>> space.default()
    {'cache': 'none', 'cache_kib': 16, 'cores': 1}

Agents need not look inside: a design has an integer vector, a position in the unit cube and a
Gymnasium action, and each of them leads back to it.

    >>> design = {"cache": "lru", "cache_kib": 64, "cores": 3}
    >>> space.encode(design)
    array([2, 2, 2])
    >>> space.decode([2, 2, 2]) == design
    True

Without a cache its size does nothing. The canonical design sets such inactive parameters to their
default, so that designs which cannot differ share a key and are simulated once.

    >>> space.canonical({"cache": "none", "cache_kib": 64, "cores": 3})
    {'cache': 'none', 'cache_kib': 16, 'cores': 3}
    >>> space.count_canonical()
    28
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from archgym_py.batch import Decoder, DesignBatch
from archgym_py.conditions import Conditions
from archgym_py.design import Constraint, Design, Parameter, Value
from archgym_py.errors import ActionError, DesignError, SpaceError, UnknownNameError, did_you_mean
from archgym_py.parameters import Choice, Integer, Ordinal, Real

__all__ = [
    "ActionKind",
    "Choice",
    "Constraint",
    "Design",
    "DesignBatch",
    "Integer",
    "Ordinal",
    "Parameter",
    "ParameterSpace",
    "Real",
    "Resolved",
    "Value",
]

ActionKind: TypeAlias = Literal["multidiscrete", "box"]
"""How an agent writes a design: as the numbers of its values, or as a point of a cube."""

_MAX_BOX_CARDINALITY = 2**22
"""Up to here a 32-bit float in [-1, 1] reaches every value of a parameter."""

_T = TypeVar("_T")
_Mappers: TypeAlias = tuple[tuple[str, Callable[[object], _T]], ...]
"""Names of parameters, each with a function of its value."""


class Resolved(NamedTuple):
    """What an evaluation needs to know about a design.

    Attributes:
        design: The canonical design.
        key: Its key.
        violations: The constraints that it breaks, each as "name: rule".
    """

    design: Design
    key: str
    violations: tuple[str, ...]


@dataclass(frozen=True)
class ParameterSpace:
    """All designs that can be made from some parameters.

    Attributes:
        parameters: The parameters, parents before those that depend on them.
        constraints: The rules that designs must satisfy. A design that breaks one is still a
            member of the space; evaluating it gives the status "infeasible".

    Raises:
        SpaceError: If two parameters or two constraints share a name, if a parent is missing,
            continuous or declared after its child, or if the default design breaks a constraint.
    """

    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        object.__setattr__(self, "constraints", tuple(self.constraints))
        if not self.parameters:
            raise SpaceError("a space needs at least one parameter.")
        _refuse_duplicates("parameter", self.names)
        _refuse_duplicates("constraint", [constraint.name for constraint in self.constraints])
        if broken := self.violations(self.default()):
            raise SpaceError(
                f"the default design breaks the constraint {broken[0]}. It is the baseline of "
                f"every search: choose defaults that satisfy all constraints."
            )

    def __getitem__(self, name: str) -> Parameter:
        """Return the parameter with a name.

        Raises:
            UnknownNameError: If there is none.
        """
        if name not in self._by_name:
            near = did_you_mean(str(name), self.names)
            raise UnknownNameError(f"the space has no parameter {name!r}.{near}")
        return self._by_name[name]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in order."""
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def size(self) -> int | float:
        """The number of designs, infinite if a parameter is continuous.

        Inactive parameters and broken constraints are disregarded; see `count_canonical`.
        """
        counts = [parameter.cardinality for parameter in self.parameters]
        return math.inf if None in counts else math.prod(count or 0 for count in counts)

    # ---- designs -------------------------------------------------------------------------------

    def default(self) -> Design:
        """Return the baseline design: every parameter at its default."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    def sample(self, rng: np.random.Generator) -> Design:
        """Draw a design in which every value of a parameter is equally likely.

        Args:
            rng: Source of randomness.

        Returns:
            A design of the space. It may break constraints, and its inactive parameters are drawn
            like the others.
        """
        return self._at(rng.random(len(self.parameters)).tolist())

    def validate(self, design: Mapping[str, object]) -> Design:
        """Return a copy of a design with its values as the parameters spell them.

        Args:
            design: A value for every parameter, in any order.

        Returns:
            The same design in the order of the parameters, with plain Python values.

        Raises:
            DesignError: If a parameter is missing or unknown, or a value is not legal.
        """
        return dict(zip(self.names, self._map(self._checks, design), strict=True))

    def fill_defaults(self, partial: Mapping[str, object]) -> Design:
        """Return a complete design, with defaults for the parameters that are not given.

        Args:
            partial: Values for some of the parameters.

        Returns:
            A design of the space.

        Raises:
            DesignError: If a parameter is unknown or a value is not legal.

        Examples:
            >>> space = ParameterSpace((Integer("cores", 1, 4), Choice("l2", (False, True))))
            >>> space.fill_defaults({"l2": True})
            {'cores': 1, 'l2': True}
        """
        return self.validate({**self.default(), **partial})

    def canonical(self, design: Mapping[str, object]) -> Design:
        """Return the representative of all designs that behave alike.

        A parameter is active if each of its parents is active and has one of the values listed in
        `active_when`. Inactive parameters are set to their default.

        Args:
            design: A design of the space.

        Returns:
            A new design. The canonical form of a canonical design is itself.

        Raises:
            DesignError: If the design is not in the space.
        """
        canonical = self.validate(design)
        self._conditions.deactivate(canonical)
        return canonical

    def violations(self, design: Mapping[str, object]) -> tuple[str, ...]:
        """Return the constraints that a design breaks, each as "name: rule".

        Args:
            design: A design of the space, whose canonical form is judged.

        Returns:
            One text for each broken constraint; empty for a feasible design.

        Raises:
            DesignError: If the design is not in the space.
        """
        return self._broken_by(self.canonical(design))

    def key(self, design: Mapping[str, object]) -> str:
        """Return the identity of a design in logs, caches and splits.

        Args:
            design: A design of the space.

        Returns:
            SHA-256, in hexadecimal digits, of the canonical design as JSON with sorted names and
            without spaces. Designs share a key if and only if they share their canonical form.

        Raises:
            DesignError: If the design is not in the space.
        """
        return self._key_of(self.canonical(design))

    def resolve(self, design: Mapping[str, object]) -> Resolved:
        """Return the canonical form, the key and the violations of a design in one pass.

        Args:
            design: A design of the space.

        Returns:
            What `canonical`, `key` and `violations` return.

        Raises:
            DesignError: If the design is not in the space.
        """
        canonical = self.canonical(design)
        return Resolved(canonical, self._key_of(canonical), self._broken_by(canonical))

    # ---- vectors and actions -------------------------------------------------------------------

    def encode(self, design: Mapping[str, object]) -> npt.NDArray[np.int64]:
        """Return the numbers of a design's values.

        Args:
            design: A design of the space.

        Returns:
            Integers, shape (n,): for each parameter the number of its value, counted from 0.

        Raises:
            DesignError: If the design is not in the space.
            SpaceError: If a parameter is continuous.
        """
        return np.array(self._map(self._indexers, design), dtype=np.int64)

    def decode(self, index: npt.ArrayLike) -> Design:
        """Return the design with the given value numbers, the inverse of `encode`.

        Args:
            index: Integers, shape (n,).

        Returns:
            A design of the space.

        Raises:
            ActionError: If the shape, the type or a number is wrong.
            SpaceError: If a parameter is continuous.
        """
        numbers = self._vector(index, "iu", "integers")
        return {p.name: p.value_at(i) for p, i in zip(self.parameters, numbers, strict=True)}

    def to_unit(self, design: Mapping[str, object]) -> npt.NDArray[np.float64]:
        """Return the position of a design in the unit cube.

        Args:
            design: A design of the space.

        Returns:
            Positions in [0, 1], shape (n,). A finite parameter of k values has k bins of equal
            width and is placed at the centre of its bin; a continuous one is placed linearly, or
            by its logarithm, between its bounds.

        Raises:
            DesignError: If the design is not in the space.
        """
        return np.array(self._map(self._placers, design))

    def from_unit(self, unit: npt.ArrayLike) -> Design:
        """Return the design at a position in the unit cube, the inverse of `to_unit`.

        Args:
            unit: Positions in [0, 1], shape (n,).

        Returns:
            A design of the space.

        Raises:
            ActionError: If the shape, the type or a position is wrong.
        """
        return self._at(self._vector(unit, "fiu", "numbers"))

    def batch(self, units: npt.ArrayLike) -> DesignBatch:
        """Return the designs at many positions of the unit cube, in their canonical form.

        A row of the result is what `from_unit`, `canonical` and `violations` say one by one, at a
        fraction of the time.

        Args:
            units: Positions in [0, 1], shape (m, n).

        Returns:
            Positions, designs, whether they satisfy the constraints, and what is active in them.

        Raises:
            ActionError: If the shape, the type or a position is wrong.

        Examples:
            >>> space = ParameterSpace((Integer("cores", 1, 4), Choice("l2", (False, True))))
            >>> space.batch([[0.1, 0.9], [0.2, 0.6], [1.0, 0.0]]).designs[1:]
            [{'cores': 1, 'l2': True}, {'cores': 4, 'l2': False}]
        """
        array = _matrix(units, len(self.parameters))
        canonical, active = self._decoder.canonical(array)
        designs = self._decoder.designs(canonical)
        checks = [constraint.check for constraint in self.constraints]
        feasible = np.ones(len(designs), dtype=np.bool_)
        for index, design in enumerate(designs if checks else ()):
            feasible[index] = all(check(design) for check in checks)
        return DesignBatch(canonical, designs, feasible, active)

    def action_space(self, kind: ActionKind) -> spaces.Space[npt.NDArray[Any]]:
        """Return the Gymnasium space whose members are whole designs.

        Args:
            kind: "multidiscrete" for the vector of `encode`; "box" for the cube [-1, 1]^n of
                32-bit floats, which is the unit cube of `to_unit`, stretched.

        Returns:
            A new Gymnasium space of shape (n,).

        Raises:
            SpaceError: If the kind is unknown or cannot express every design.
        """
        _check_kind(kind)
        for name, count in [(p.name, p.cardinality) for p in self.parameters]:
            if kind == "multidiscrete" and count is None:
                raise SpaceError(
                    f"parameter {name!r} is continuous, so its values have no numbers. Use the "
                    f"'box' action, or give the parameter levels=N."
                )
            if kind == "box" and count is not None and count > _MAX_BOX_CARDINALITY:
                raise SpaceError(
                    f"parameter {name!r} has {count} values, more than a 32-bit float in [-1, 1] "
                    f"can tell apart. Use the 'multidiscrete' action."
                )
        if kind == "box":
            return spaces.Box(-1.0, 1.0, (len(self.parameters),), np.float32)
        return spaces.MultiDiscrete(np.array([p.cardinality for p in self.parameters]))

    def design_from_action(self, action: npt.ArrayLike, kind: ActionKind) -> Design:
        """Return the design that an action stands for.

        Args:
            action: A member of `action_space(kind)`.
            kind: The kind of action.

        Returns:
            A design of the space.

        Raises:
            ActionError: If the action has the wrong shape or type, or leaves its range.
            SpaceError: If the kind is unknown or cannot express every design.
        """
        if kind == "multidiscrete":
            return self.decode(action)
        _check_kind(kind)
        coordinates = self._vector(action, "fiu", "numbers")
        for name, coordinate in zip(self.names, coordinates, strict=True):
            if not -1.0 <= coordinate <= 1.0:  # also refuses NaN
                raise ActionError(
                    f"the action for parameter {name!r} must lie in [-1, 1], got {coordinate}. "
                    f"Clip or rescale it before."
                )
        return self._at([(coordinate + 1.0) / 2.0 for coordinate in coordinates])

    # ---- the space as a whole ------------------------------------------------------------------

    def iter_canonical(self) -> Iterator[Design]:
        """Yield every canonical design that satisfies all constraints, exactly once.

        Yields:
            Designs, in lexicographic order of their value numbers.

        Raises:
            SpaceError: If a parameter is continuous.
        """
        for design in self._conditions.iterate():
            if all(constraint.check(design) for constraint in self.constraints):
                yield design

    def count_canonical(self) -> int:
        """Return how many designs `iter_canonical` yields.

        With constraints it has to make them all; without, it is quick.

        Raises:
            SpaceError: If a parameter is continuous.
        """
        if self.constraints:
            return sum(1 for _ in self.iter_canonical())
        return self._conditions.count()

    def describe(self) -> str:
        """Return a table of the parameters, and the constraints, as text of several lines."""
        rows = [("parameter", "values", "default", "active when", "meaning")]
        for p in self.parameters:
            rules = [f"{name} in {', '.join(map(str, values))}" for name, values in p.conditions]
            rows.append((p.name, p.describe(), str(p.default), " and ".join(rules), p.doc))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join(lines + [f"constraint {c.name}: {c.doc}" for c in self.constraints])

    # ---- tables, made on first use -------------------------------------------------------------

    @cached_property
    def _by_name(self) -> dict[str, Parameter]:
        return {p.name: p for p in self.parameters}

    @cached_property
    def _conditions(self) -> Conditions:
        return Conditions(self.parameters)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.parameters)

    @cached_property
    def _checks(self) -> _Mappers[Value]:
        return tuple((p.name, p.check) for p in self.parameters)

    @cached_property
    def _indexers(self) -> _Mappers[int]:
        return tuple((p.name, p.index_of) for p in self.parameters)

    @cached_property
    def _placers(self) -> _Mappers[float]:
        return tuple((p.name, p.to_unit) for p in self.parameters)

    @cached_property
    def _json(self) -> tuple[str, _Mappers[str]]:
        """JSON of a design with a %s for each value, and what writes the values."""
        names = sorted(self.names)
        template = "{" + ",".join(f"{json.dumps(name)}:%s" for name in names) + "}"
        return template, tuple((name, _json_writer(self[name])) for name in names)

    # ---- shared steps --------------------------------------------------------------------------

    def _map(self, mappers: _Mappers[_T], design: Mapping[str, object]) -> list[_T]:
        """Apply a function to each value of a design that must be complete."""
        try:
            mapped = [function(design[name]) for name, function in mappers]
        except (KeyError, TypeError):
            self._check_names(design)
            raise
        if len(design) > len(mapped):
            self._check_names(design)
        return mapped

    def _check_names(self, design: Mapping[str, object]) -> None:
        """Refuse what is not a mapping from exactly the names of the parameters."""
        if not isinstance(design, Mapping):
            raise DesignError(f"a design is a mapping from names to values, got {design!r}.")
        for name in design:
            if name not in self._by_name:
                near = did_you_mean(str(name), self.names)
                raise DesignError(f"the space has no parameter {name!r}.{near}")
        missing = [name for name in self.names if name not in design]
        if missing:
            raise DesignError(
                f"the design lacks {', '.join(map(repr, missing))}. Give every parameter a value, "
                f"or add the defaults with fill_defaults()."
            )

    def _broken_by(self, canonical: Design) -> tuple[str, ...]:
        return tuple([f"{c.name}: {c.doc}" for c in self.constraints if not c.check(canonical)])

    def _key_of(self, canonical: Design) -> str:
        template, writers = self._json
        text = template % tuple([write(canonical[name]) for name, write in writers])
        return hashlib.sha256(text.encode()).hexdigest()

    def _at(self, positions: list[float]) -> Design:
        return {p.name: p.from_unit(u) for p, u in zip(self.parameters, positions, strict=True)}

    def _vector(self, vector: npt.ArrayLike, dtype_kinds: str, words: str) -> list[Any]:
        """Return a vector with an entry for each parameter as a list, or refuse it."""
        try:
            array = np.asarray(vector)
        except ValueError:  # rows of different lengths
            array = np.empty(0, dtype=object)
        if array.dtype.kind not in dtype_kinds or array.shape != (len(self.parameters),):
            raise ActionError(
                f"a design is {len(self.parameters)} {words}, one for each parameter, got dtype "
                f"{array.dtype} and shape {array.shape}."
            )
        entries: list[Any] = array.tolist()
        return entries


def _matrix(units: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    """Return positions in the unit cube as an array of shape (m, n), or refuse them."""
    try:
        array = np.asarray(units)
    except ValueError:  # rows of different lengths
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != n:
        raise ActionError(
            f"a batch is a matrix of numbers with {n} columns, one for each parameter, got dtype "
            f"{array.dtype} and shape {array.shape}."
        )
    positions = array.astype(np.float64, copy=False)
    if not ((positions >= 0.0) & (positions <= 1.0)).all():  # also refuses NaN
        raise ActionError("the positions of a batch must lie in [0, 1]. Clip or rescale them.")
    return positions


def _json_writer(parameter: Parameter) -> Callable[[Any], str]:
    """Return the fastest function that writes a value of the parameter as JSON."""
    if parameter.value_type in (int, float):
        return repr  # which is what JSON uses for finite numbers
    values = map(parameter.value_at, range(parameter.cardinality or 0))
    return {value: json.dumps(value) for value in values}.__getitem__


def _check_kind(kind: str) -> None:
    known = get_args(ActionKind)
    if kind not in known:
        raise SpaceError(f"unknown kind of action {kind!r}.{did_you_mean(str(kind), known)}")


def _refuse_duplicates(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise SpaceError(f"two {what}s are called {name!r}. Give each its own name.")
