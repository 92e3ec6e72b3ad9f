"""The statistics of a sweep as tables for the terminal.

>>> print(align([["agent", "runs"], ["genetic", "30"]]))
agent    runs
genetic    30
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["align", "markdown", "summary"]


def summary(data: Mapping[str, Any]) -> str:
    """Write the statistics of a sweep.

    Args:
        data: What `analysis.analyse` returns.

    Returns:
        A table for each problem, one for all of them, and what the variance is due to.
    """
    blocks = [_problem(problem) for problem in data["problems"]]
    overall = data["overall"]
    if len(blocks) > 1 and overall["agents"]:
        blocks.append(_overall(overall))
    if data["transfer"]:
        blocks.append(_transfer(data["transfer"]))
    if overall["variance"]:
        blocks.append(f"variance of the final scores: {variance_text(overall['variance'])}")
    failed = f", {data['failed']} failed" if data["failed"] else ""
    blocks.append(
        f"{data['runs']} runs{failed}. Scores: 0 is the default design, 1 the optimum (or the best "
        "design that is known).\nIQM is the interquartile mean with its 95 % interval over "
        "configurations; tuned is the best\nconfiguration on seeds that did not choose it."
    )
    blocks += [
        f"failed: {failure['runs']} runs of {failure['agent']}: {failure['message']}"
        for failure in data["failures"]
    ]
    return "\n\n".join(blocks)


def variance_text(shares: Mapping[str, float]) -> str:
    """Say what the variance of scores is due to.

    Examples:
        >>> variance_text({"agent": 0.25, "configuration": 0.5, "seed": 0.25})
        '25 % algorithm, 50 % hyperparameters, 25 % seed'
    """
    return (
        f"{100 * shares['agent']:.0f} % algorithm, "
        f"{100 * shares['configuration']:.0f} % hyperparameters, {100 * shares['seed']:.0f} % seed"
    )


def align(rows: Sequence[Sequence[str]]) -> str:
    """Put cells into columns, the first to the left and the others to the right.

    Args:
        rows: Cells, as many in every row; the first row names the columns.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; all columns but the first are aligned to the right.

    Args:
        header: Names of the columns.
        rows: The cells of each row.

    Examples:
        >>> print(markdown(["agent", "s"], [["grid", "0.3"]]))
        | agent | s |
        | --- | --: |
        | grid | 0.3 |
    """
    table = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def _problem(problem: Mapping[str, Any]) -> str:
    header = ["agent", "runs", "IQM", "95 %", "median", "IQR", "range", "default", "tuned"]
    known = problem["optimum"] is not None
    if known:
        header += ["regret %", "optimum found"]
    rows = [header]
    for agent in sorted(problem["agents"], key=lambda agent: -agent["iqm"][0]):
        q1, median, q3 = agent["quartiles"]
        row = [
            agent["agent"],
            str(agent["runs"]),
            *_interval(agent["iqm"]),
            _number(median),
            _number(q3 - q1),
            _number(agent["range"]),
            _number(agent["default_score"]),
            _number(agent["tuned_score"]),
        ]
        if known:
            regret = agent["regret"]
            row += (
                [f"{regret['quartiles'][1]:.3g}", str(regret["optimal_runs"])]
                if regret
                else ["-", "-"]
            )
        rows.append(row)
    best = problem["best"]
    found = "nothing feasible was found"
    if best is not None:
        found = f"best design: {best['agent']} ({best['label']}, seed {best['seed']})"
        if best["regret_percent"] is not None:
            found += f", {best['regret_percent']:.3g} % above the optimum"
    budgets = ", ".join(f"{budget:,}" for budget in problem["budgets"][:6])
    if len(problem["budgets"]) > 6:
        budgets += ", ..."
    title = f"{problem['name']}, {budgets} samples"
    shares = problem["variance"]
    lines = [title, align(rows), found]
    if shares:
        lines.append(f"variance: {variance_text(shares)}")
    return "\n".join(lines)


def _overall(overall: Mapping[str, Any]) -> str:
    rows = [["agent", "IQM", "95 %", "mean rank", "default", "tuned"]]
    rows += [
        [
            agent["agent"],
            *_interval(agent["iqm"]),
            f"{agent['mean_rank']:.2f}",
            _number(agent["default_score"]),
            _number(agent["tuned_score"]),
        ]
        for agent in sorted(overall["agents"], key=lambda agent: -agent["iqm"][0])
    ]
    return f"all problems\n{align(rows)}"


def _transfer(pairs: Sequence[Mapping[str, Any]]) -> str:
    rows = [["tuned elsewhere", "source -> target", "transferred", "own", "default"]]
    rows += [
        [
            pair["agent"],
            " -> ".join(_apart(pair["source"], pair["target"])),
            *(_number(pair[name]) for name in ("transferred", "own", "default")),
        ]
        for pair in pairs
    ]
    return align(rows)


def _apart(one: str, other: str) -> tuple[str, str]:
    """Shorten two names of problems to the words that set them apart."""
    pairs = list(zip(one.split(), other.split(), strict=False))
    different = [pair for pair in pairs if pair[0] != pair[1]]
    if len(one.split()) != len(other.split()) or not different:
        return one, other
    return " ".join(pair[0] for pair in different), " ".join(pair[1] for pair in different)


def _interval(interval: Sequence[float]) -> list[str]:
    estimate, low, high = interval
    return [_number(estimate), f"{_number(low)} to {_number(high)}"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
