"""Which parameters of a design have an effect, and the designs that differ in effect."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import TypeAlias

from archgym_py.design import Design, Parameter, Value
from archgym_py.errors import DesignError, SpaceError, did_you_mean

__all__ = ["Conditions"]

_Rule: TypeAlias = tuple[tuple[str, frozenset[Value]], ...]
"""Parents, each with those of its values that its child needs."""


class Conditions:
    """The `active_when` of all parameters of a space, checked and compiled.

    A parameter is active if each of its parents is active and has one of the listed values. All
    methods take and return designs whose values are spelled as the parameters spell them.

    Args:
        parameters: The parameters of the space.

    Raises:
        SpaceError: If a parent is declared after its child or not at all, is continuous, or
            cannot have a listed value.
    """

    __slots__ = ("_conditional", "_parameters", "_rules")

    def __init__(self, parameters: tuple[Parameter, ...]) -> None:
        self._parameters = parameters
        self._rules: dict[str, _Rule] = {}
        earlier: dict[str, Parameter] = {}
        for parameter in parameters:
            if parameter.conditions:
                self._rules[parameter.name] = _compile(parameter, earlier)
            earlier[parameter.name] = parameter
        self._conditional = tuple(
            (name, earlier[name].default, rule) for name, rule in self._rules.items()
        )

    def deactivate(self, design: Design) -> None:
        """Set the inactive parameters of a design to their default, in place."""
        inactive: set[str] = set()
        for name, default, rule in self._conditional:
            if not _is_active(rule, design, inactive):
                design[name] = default
                inactive.add(name)

    def iterate(self) -> Iterator[Design]:
        """Return every design without inactive settings, in lexicographic order of the values.

        Raises:
            SpaceError: If a parameter is continuous.
        """
        values = [[p.value_at(i) for i in range(_count(p))] for p in self._parameters]

        def extend(design: Design, inactive: frozenset[str]) -> Iterator[Design]:
            depth = len(design)
            if depth == len(values):
                yield design
                return
            parameter = self._parameters[depth]
            name = parameter.name
            if _is_active(self._rules.get(name, ()), design, inactive):
                for value in values[depth]:
                    yield from extend({**design, name: value}, inactive)
            else:
                yield from extend({**design, name: parameter.default}, inactive | {name})

        return extend({}, frozenset())

    def count(self) -> int:
        """Return how many designs `iterate` yields, enumerating only the values of parents.

        Raises:
            SpaceError: If a parameter is continuous.
        """
        parents = {parent for rule in self._rules.values() for parent, _ in rule}

        def count(depth: int, design: Design, inactive: frozenset[str]) -> int:
            if depth == len(self._parameters):
                return 1
            parameter = self._parameters[depth]
            name = parameter.name
            if not _is_active(self._rules.get(name, ()), design, inactive):
                return count(depth + 1, design, inactive | {name})
            if name not in parents:
                return _count(parameter) * count(depth + 1, design, inactive)
            values = map(parameter.value_at, range(_count(parameter)))
            return sum(count(depth + 1, {**design, name: value}, inactive) for value in values)

        return count(0, {}, frozenset())


def _compile(parameter: Parameter, earlier: dict[str, Parameter]) -> _Rule:
    """Check the conditions of one parameter against the parameters declared before it."""
    rule = []
    where = f"parameter {parameter.name!r}, active_when: "
    for name, values in parameter.conditions:
        if name not in earlier:
            near = did_you_mean(name, earlier)
            raise SpaceError(f"{where}no parameter {name!r} is declared before it.{near}")
        if earlier[name].cardinality is None:
            raise SpaceError(f"{where}{name!r} is continuous. Give it levels=N.")
        try:
            rule.append((name, frozenset(map(earlier[name].check, values))))
        except DesignError as error:
            raise SpaceError(f"{where}{error}") from None
    return tuple(rule)


def _count(parameter: Parameter) -> int:
    """Return the number of values of a finite parameter."""
    if parameter.cardinality is None:
        raise SpaceError(
            f"parameter {parameter.name!r} is continuous, so the designs cannot be listed. Give it "
            f"levels=N."
        )
    return parameter.cardinality


def _is_active(rule: _Rule, design: Design, inactive: Set[str]) -> bool:
    """Return whether a parameter has an effect, given the design so far."""
    for parent, values in rule:  # noqa: SIM110  # all() with a generator takes twice as long
        if parent in inactive or design[parent] not in values:
            return False
    return True
