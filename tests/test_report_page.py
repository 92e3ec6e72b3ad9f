"""The page of a sweep: the file that is written, and what a browser makes of it."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from archgym_py.errors import ConfigError
from archgym_py.report_page import check_page, page, write_page
from archgym_py.statistics import (
    expected_best_curve,
    iqm,
    mean_ranks,
    performance_profile,
    probability_of_improvement,
    quartiles,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

REQUIRED = bool(os.environ.get("ARCHGYM_REQUIRE_BROWSER"))
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

AGENTS = ("random_search", "genetic", "ant_colony", "bayesian")
TRAP = "</script><img src=x onerror=alert(1)>&amp;"  # as a name or a message may be


def agent_data(agent: str, skill: float, rng: np.random.Generator, **sizes: int) -> dict[str, Any]:
    """Return what the analysis says of an agent, from scores that are drawn."""
    configs, seeds = sizes["configs"], sizes["seeds"]
    tuning = rng.normal(skill, 0.12, configs)
    scores = np.minimum(1.0, tuning[:, None] + rng.normal(0.0, 0.05, (configs, seeds)))
    labels = ["default", *(f"drawn {number}" for number in range(1, configs))]
    flat = scores.ravel()
    at = np.unique(np.geomspace(1, 300, 60).round().astype(int))
    median = skill * (1 - np.exp(-at / 60))
    best = int(scores.mean(axis=1).argmax())
    return {
        "agent": agent,
        "runs": flat.size,
        "failed": 0,
        "configs": configs,
        "scores": flat.tolist(),
        "labels": [label for label in labels for _ in range(seeds)],
        "seeds": list(range(seeds)) * configs,
        "samples": rng.integers(1, 301, flat.size).tolist(),
        "iqm": [iqm(flat), iqm(flat) - 0.02, iqm(flat) + 0.02],
        "quartiles": list(quartiles(flat)),
        "range": float(np.ptp(flat)),
        "default_score": float(scores[0].mean()),
        "tuned_score": float(scores[best].mean()) - 0.01,
        "tuned": {
            "label": labels[best],
            "config": {"population": 32, "rate": 0.125},
            "score": float(scores[best].mean()),
        },
        "best_of": np.asarray(expected_best_curve(scores.mean(axis=1).tolist())).tolist(),
        "regret": {"quartiles": [0.5, 1.25, 3.0], "optimal_runs": int((flat >= 1.0).sum())},
        "curve": {
            "samples": at.tolist(),
            "median": median.tolist(),
            "q1": (median - 0.05).tolist(),
            "q3": (median + 0.05).tolist(),
        },
    }


def improvement(scores: dict[str, list[np.ndarray[Any, Any]]]) -> dict[str, Any]:
    return {
        "agents": list(scores),
        "matrix": [
            [probability_of_improvement(one, other) for other in scores.values()]
            for one in scores.values()
        ],
    }


def problem_data(name: str, number: int, agents: Sequence[str], **sizes: int) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    entries = [
        agent_data(agent, 0.9 - 0.06 * rng.random() - 0.05 * place, rng, **sizes)
        for place, agent in enumerate(agents)
    ]
    scores = {entry["agent"]: np.array(entry["scores"]) for entry in entries}
    thresholds = np.linspace(0.0, 1.0, 101)
    known = number % 2 == 0
    workload, objective = name.split()
    return {
        "name": f"DRAMController {name}",
        "env": "ArchGym/DRAMController-v0" if number < 6 else "ArchGym/SoC-v0",
        "workload": workload,
        "objective": objective,
        "env_kwargs": {"workload": workload, "objective": objective},
        "budgets": [300],
        "units": {"energy_pj": "pJ", "latency_ns": "ns", "hit_rate": "1"},
        "default": {
            "design": {"page_policy": "Open", "request_buffer": 8, "refresh": True},
            "metrics": {"energy_pj": 2000.0, "latency_ns": 50.0, "hit_rate": 0.0},
            "reward": -7.6,
        },
        "optimum": {"metric": "energy_pj", "value": 880.0, "reward": -6.7, "source": "enumerated"}
        if known
        else None,
        "best": {
            "agent": agents[0],
            "label": "drawn 2",
            "seed": 1,
            "sample": 17,
            "reward": -6.8,
            "design": {"page_policy": "Closed", "request_buffer": 4, "refresh": True},
            "metrics": {"energy_pj": 900.0 + number, "latency_ns": 51.0, "hit_rate": 0.25},
            "regret_percent": 2.27 if known else None,
        },
        "variance": {"agent": 0.25, "configuration": 0.5, "seed": 0.25},
        "agents": entries,
        "thresholds": thresholds.tolist(),
        "profiles": {
            agent: performance_profile(own, thresholds).tolist() for agent, own in scores.items()
        },
        "improvement": improvement({agent: [own] for agent, own in scores.items()}),
    }


def overall_data(problems: Sequence[dict[str, Any]], agents: Sequence[str]) -> dict[str, Any]:
    strata = {
        agent: [
            np.array(entry["scores"])
            for problem in problems
            for entry in problem["agents"]
            if entry["agent"] == agent
        ]
        for agent in agents
    }
    pooled = {agent: np.concatenate(own) for agent, own in strata.items()}
    thresholds = np.linspace(0.0, 1.0, 101)
    table = [[iqm(own) for own in strata[agent]] for agent in agents]
    return {
        "agents": [
            {
                "agent": agent,
                "iqm": [iqm(pooled[agent]), iqm(pooled[agent]) - 0.01, iqm(pooled[agent]) + 0.01],
                "mean_rank": float(rank),
                "quartiles": list(quartiles(pooled[agent])),
                "default_score": 0.5,
                "tuned_score": None,
            }
            for agent, rank in zip(agents, mean_ranks(np.array(table)), strict=True)
        ],
        "variance": None,
        "thresholds": thresholds.tolist(),
        "profiles": {
            agent: performance_profile(own, thresholds).tolist() for agent, own in pooled.items()
        },
        "improvement": improvement(strata),
    }


def sweep_data(
    agents: Sequence[str] = AGENTS, problems: int = 3, configs: int = 6, seeds: int = 3
) -> dict[str, Any]:
    """Return data as the analysis makes it, of a sweep that never ran."""
    workloads = ("cloud-saturating-1k", "stream-1k", "random-1k", "pointer-chase-1k")
    objectives = ("minimize:energy_pj", "minimize:latency_ns")
    names = [f"{workload} {objective}" for workload in workloads for objective in objectives]
    made = [
        problem_data(name, number, agents, configs=configs, seeds=seeds)
        for number, name in enumerate(names[:problems])
    ]
    return {
        "commands": ["archgym sweep configs/sweeps/lottery.yaml --out runs/lottery"],
        "versions": {"python": "3.11.7", "archgym_py": "0.1.0", "numpy": "2.3.0"},
        "git_commits": ["0123abcd"],
        "runs": problems * len(agents) * configs * seeds + 2,
        "failed": 2,
        "failures": [{"agent": agents[1], "message": TRAP, "runs": 2}],
        "problems": made,
        "overall": overall_data(made, agents),
        "transfer": [
            {
                "agent": agent,
                "source": made[0]["name"],
                "target": made[-1]["name"],
                "label": "drawn 3",
                "transferred": 0.75,
                "own": 0.875,
                "default": None,
            }
            for agent in agents
        ]
        if problems > 1
        else [],
    }


# --- The file ------------------------------------------------------------------------------------


def embedded(html: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_page_holds_the_data_unchanged() -> None:
    data = sweep_data()
    assert embedded(page(data)) == data


def test_page_is_one_file_that_names_nothing_to_fetch(tmp_path: Path) -> None:
    write_page(sweep_data(), tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    own = html[: html.index('<script type="application/json"')]  # the data and scripts come after
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s>]+)""", own)
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    assert "default-src 'none'" in html
    assert html.count("</script>") == 3


def test_page_replaces_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("older")
    write_page(sweep_data(problems=1), path)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_older_page_stays_where_the_data_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("older")
    with pytest.raises(ConfigError, match=r"plain and finite.*Give None"):
        write_page({**sweep_data(problems=1), "runs": float("nan")}, path)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_value_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"not JSON serializable"):
        page({**sweep_data(problems=1), "failures": [object()]})


def test_misspelt_key_is_refused() -> None:
    data = sweep_data(problems=1)
    data["problem"] = data.pop("problems")
    with pytest.raises(ConfigError, match=r"unknown key 'problem'\. Did you mean 'problems'\?"):
        page(data)


def test_missing_key_is_refused() -> None:
    data = sweep_data(problems=1)
    del data["transfer"]
    with pytest.raises(ConfigError, match=r"the key 'transfer' is missing"):
        page(data)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("page.pdf", r"End the name in \.html"),
        ("none/page.html", r"none does not exist\. Create it"),
        ("folder.html", r"is a folder\. Name the page"),
    ],
)
def test_path_that_cannot_be_written_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ConfigError, match=message):
        check_page(tmp_path / name)


def test_missing_plotly_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name="plotly")

    monkeypatch.setattr("archgym_py.errors.importlib.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'archgym_py\[report\]'"):
        check_page(tmp_path / "page.html")


# Full protanopia and deuteranopia on linear RGB: Machado, Oliveira and Fernandes, "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG 15 (2009).
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
# sRGB to CIE XYZ, IEC 61966-2-1, over the white of D65.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def cielab(colour: str, sight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a colour "rrggbb" in CIELAB as someone sees it."""
    coded = np.array([int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)])
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    ratio = XYZ @ np.clip(sight @ linear, 0.0, 1.0) / WHITE
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_of_agents_differ_to_everyone(sight: str) -> None:
    style = (Path(__file__).parents[1] / "archgym_py/page/page.css").read_text()
    colours = re.findall(r"--agent-\d: #(\w{6});", style)
    assert len(colours) == 2 * 9
    for theme in (colours[:9], colours[9:]):
        seen = [cielab(colour, SIGHTS[sight]) for colour in theme]
        for one, other in itertools.combinations(seen, 2):
            assert np.linalg.norm(one - other) >= 15.0


# --- The browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None and not REQUIRED:
        pytest.skip("no Chromium; set ARCHGYM_REQUIRE_BROWSER to fail instead")
    if not REQUIRED:
        pytest.importorskip("playwright")
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None, "ARCHGYM_REQUIRE_BROWSER is set, and there is no Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Opened:
    """A page in a browser, and all that it said and asked for."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.page: Page = browser.new_page(**options)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("figure[data-drawn]:visible")

    def draw_all(self) -> None:
        """Bring every figure into view, as drawing waits for that."""
        figures = self.page.locator("figure:visible")
        for place in range(figures.count()):
            figures.nth(place).scroll_into_view_if_needed()
            figures.nth(place).and_(self.page.locator("[data-drawn]")).wait_for()

    def names(self, section: str) -> list[str]:
        """Return the agents in the first figure of a section that has a legend."""
        plot = self.page.locator(f"{section} .js-plotly-plot:has(.legendtext)").first
        return plot.locator(".legendtext").all_text_contents()


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return sweep_data()


@pytest.fixture(scope="module")
def path(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(data, path)
    return path


@pytest.fixture
def opened(browser: Browser, path: Path) -> Iterator[Opened]:
    opened = Opened(browser, path, viewport={"width": 1280, "height": 900})
    yield opened
    opened.page.close()


def cells(section: Locator, name: str, row: str) -> list[str]:
    """Return the texts of a row of a table: its own name is the first of them."""
    table = section.get_by_role("region", name=name, exact=True)
    found = table.locator("tr").filter(has=section.page.get_by_role("rowheader", name=row))
    return found.locator("th, td").all_inner_texts()


def shown(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def test_page_draws_in_silence_and_fetches_nothing(opened: Opened, path: Path) -> None:
    opened.draw_all()
    figures = opened.page.locator("figure:visible")
    assert figures.count() == 3 + 3 * 4
    assert opened.page.locator("figure:visible .js-plotly-plot .main-svg").count() > 0
    for place in range(figures.count()):
        assert figures.nth(place).locator(".js-plotly-plot").count() == 1
    buttons = figures.first.locator(".modebar-btn").all()
    assert [button.get_attribute("data-title") for button in buttons] == [
        "Download plot",
        "Zoom",
        "Pan",
        "Autoscale",
        "Reset axes",
    ]  # none that sends data away
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith(("data:", "blob:"))] == [
        path.as_uri()
    ]


def test_statistics_on_the_page_are_those_of_the_data(opened: Opened, data: dict[str, Any]) -> None:
    for number, problem in enumerate(data["problems"]):
        section = opened.page.locator(f"#problem-{number}")
        for entry in problem["agents"]:
            q1, median, q3 = entry["quartiles"]
            estimate, low, high = entry["iqm"]
            assert cells(section, "Statistics", entry["agent"]) == [
                entry["agent"],
                str(entry["runs"]),
                "0",
                f"{shown(estimate)} [{shown(low)}, {shown(high)}]",
                shown(median),
                shown(q3 - q1),
                shown(entry["range"]),
                shown(entry["default_score"]),
                shown(entry["tuned_score"]),
                "1.25 %",
                f"{entry['regret']['optimal_runs']} of {entry['runs']}",
            ]


def test_points_of_the_figure_are_the_runs_of_the_data(
    opened: Opened, data: dict[str, Any]
) -> None:
    opened.draw_all()
    traces = opened.page.locator("#problem-0 .js-plotly-plot").first.evaluate(
        "plot => plot.data.filter(t => t.type === 'scatter').map(t => ({x: t.x, text: t.text}))"
    )
    for trace, entry in zip(traces, data["problems"][0]["agents"], strict=True):
        runs = sorted(zip(entry["scores"], entry["labels"], entry["seeds"], strict=True))
        assert trace["x"] == [score for score, _, _ in runs]
        assert f"{runs[0][1]}, seed {runs[0][2]}" in trace["text"][0]


def test_points_are_thinned_evenly_and_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    data = sweep_data(("genetic", "other"), problems=1, configs=31, seeds=9)
    write_page(data, tmp_path / "page.html")
    opened = Opened(browser, tmp_path / "page.html")
    opened.draw_all()
    figure = opened.page.locator("#problem-0 figure").first
    assert "60 points evenly by rank" in figure.locator("figcaption").inner_text()
    points, runs = figure.locator(".js-plotly-plot").evaluate(
        "plot => ['scatter', 'violin'].map(type => plot.data.find(t => t.type === type).x)"
    )
    scores = sorted(data["problems"][0]["agents"][0]["scores"])
    assert sorted(runs) == scores
    assert len(points) == 60
    assert (points[0], points[-1]) == (scores[0], scores[-1])
    places = [scores.index(point) for point in points if point < 1.0]
    assert set(np.diff(places)) <= {4, 5}  # 278 / 59 is 4.7
    opened.page.close()


def test_best_design_stands_beside_the_default(opened: Opened) -> None:
    section = opened.page.locator("#problem-0")
    energy = cells(section, "Metrics", "energy_pj")
    assert energy == ["energy_pj", "pJ", "2000", "900", "\N{MINUS SIGN}55.0 %"]
    assert cells(section, "Metrics", "hit_rate") == ["hit_rate", "", "0", "0.25", "–"]
    assert cells(section, "Parameters", "page_policy")[1:] == ["Open", "Closed", ""]
    assert cells(section, "Parameters", "request_buffer")[1:] == ["8", "4", "\N{MINUS SIGN}50.0 %"]


def test_filter_of_agents_acts_on_figures_and_tables(opened: Opened) -> None:
    opened.draw_all()
    opened.page.get_by_role("button", name="genetic").click()
    opened.draw_all()
    rest = ["random_search", "ant_colony", "bayesian"]
    assert opened.names("#problem-0") == rest
    assert opened.names("#overall") == rest
    for text in opened.page.locator("main table:visible tbody").all_inner_texts():
        assert "genetic" not in text
    assert opened.page.locator("#failures").is_hidden()  # these were all of that agent
    opened.page.get_by_role("button", name="Reset", exact=True).click()
    opened.draw_all()
    assert opened.names("#problem-0") == list(AGENTS)
    assert opened.page.locator("#failures").is_visible()
    assert opened.said == []


def test_page_without_any_agent_says_so(opened: Opened) -> None:
    for agent in AGENTS:
        opened.page.get_by_role("button", name=agent).click()
    opened.draw_all()
    assert opened.page.locator("figure:visible .js-plotly-plot").count() == 0
    assert opened.page.locator("figure:visible .empty").count() == 15
    assert opened.said == []


def test_filter_of_problems_hides_the_others(opened: Opened, data: dict[str, Any]) -> None:
    opened.page.get_by_label("Objective").select_option("minimize:latency_ns")
    assert opened.page.locator("main h2:visible").all_inner_texts() == [
        data["problems"][1]["name"],
        "Failed runs",
        "Provenance",
    ]
    assert opened.page.locator("#count").inner_text() == "1 of 3 problems, 4 of 4 agents"
    opened.page.get_by_label("Workload").select_option("stream-1k")
    assert "Reset the filters" in opened.page.locator("#count").inner_text()
    assert opened.said == []


def test_comparison_of_some_problems_is_that_of_the_analysis(
    opened: Opened, data: dict[str, Any]
) -> None:
    opened.page.get_by_label("Objective").select_option("minimize:energy_pj")
    opened.draw_all()
    chosen = [data["problems"][0], data["problems"][2]]
    expected = overall_data(chosen, AGENTS)
    section = opened.page.locator("#overall")
    for row in expected["agents"]:
        found = cells(section, "Overall statistics", row["agent"])
        q1, median, q3 = row["quartiles"]
        estimate, low, high = map(float, re.findall(r"[\d.]+", found[1]))
        assert shown(estimate) == shown(row["iqm"][0])
        assert low < estimate < high < low + 0.3
        assert found[2:5] == [shown(row["mean_rank"], 2), shown(median), shown(q3 - q1)]
    plots = section.locator(".js-plotly-plot")
    profiles = plots.nth(1).evaluate("plot => plot.data.map(t => Array.from(t.y))")
    assert profiles == [pytest.approx(expected["profiles"][agent]) for agent in AGENTS]
    heat = plots.nth(2).evaluate("plot => [plot.data[0].y, plot.data[0].z]")
    places = [AGENTS.index(agent) for agent in heat[0]]
    matrix = np.array(expected["improvement"]["matrix"])
    np.testing.assert_allclose(heat[1], matrix[np.ix_(places, places)])


def test_whole_sweep_is_compared_by_the_analysis(opened: Opened, data: dict[str, Any]) -> None:
    row = data["overall"]["agents"][0]
    found = cells(opened.page.locator("#overall"), "Overall statistics", row["agent"])
    estimate, low, high = row["iqm"]
    assert found[1] == f"{shown(estimate)} [{shown(low)}, {shown(high)}]"
    assert found[5:] == ["0.500", "–"]


def test_texts_of_the_data_are_shown_as_they_are(browser: Browser, tmp_path: Path) -> None:
    data = sweep_data((TRAP, "other"), problems=2)
    data["commands"] = [TRAP]
    data["problems"][0]["name"] = TRAP
    write_page(data, tmp_path / "page.html")
    opened = Opened(browser, tmp_path / "page.html")
    opened.draw_all()
    assert opened.page.locator("#problem-0 h2").inner_text() == TRAP
    assert opened.page.locator("#provenance pre").inner_text() == TRAP
    assert opened.names("#problem-0")[0] == TRAP
    assert opened.page.locator("img[src=x]").count() == 0
    assert opened.said == []
    opened.page.close()


def test_page_follows_the_system_until_it_is_switched(browser: Browser, path: Path) -> None:
    opened = Opened(browser, path, color_scheme="dark")
    root = opened.page.locator("html")
    ink = "getComputedStyle(document.querySelector('.xtitle')).fill"

    def drawn(theme: str) -> str:
        opened.page.wait_for_selector(f"html[data-theme={theme}]")
        return str(opened.page.evaluate(ink))

    dark = drawn("dark")
    opened.page.emulate_media(color_scheme="light")
    assert drawn("light") != dark
    opened.page.get_by_role("button", name="Dark", exact=True).click()
    assert drawn("dark") == dark
    opened.page.emulate_media(color_scheme="dark")
    opened.page.emulate_media(color_scheme="light")
    assert root.get_attribute("data-theme") == "dark"
    assert opened.said == []
    opened.page.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_page_is_as_wide_as_the_window(browser: Browser, path: Path, width: int) -> None:
    opened = Opened(browser, path, viewport={"width": width, "height": 740})
    opened.draw_all()
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.page.close()


def test_filters_work_from_the_keyboard(opened: Opened) -> None:
    opened.page.locator("#filter-workload").focus()
    for key in ("Tab", "Tab", "Tab", "Space"):  # the objective, Reset, the first agent
        opened.page.keyboard.press(key)
    chip = opened.page.get_by_role("button", name=AGENTS[0])
    assert chip.get_attribute("aria-pressed") == "false"


def test_sparse_data_are_drawn(browser: Browser, tmp_path: Path) -> None:
    data = sweep_data(("genetic", "random_search"), problems=1, configs=1, seeds=1)
    problem = data["problems"][0]
    problem.update(default=None, optimum=None, best=None, variance=None, workload="")
    lost = dict.fromkeys(problem["agents"][0], None)
    problem["agents"][0] = {
        **lost,
        "agent": "genetic",
        "runs": 0,
        "failed": 1,
        "configs": 0,
        **{key: [] for key in ("scores", "labels", "seeds", "samples", "best_of")},
    }
    problem["agents"][1].update(
        default_score=None, tuned_score=None, regret=None, samples=[None], curve=None
    )
    data.update(commands=[], versions={}, git_commits=[], failures=[])
    data["overall"].update(agents=[], thresholds=[], profiles={})
    write_page(data, tmp_path / "page.html")
    opened = Opened(browser, tmp_path / "page.html")
    opened.draw_all()
    section = opened.page.locator("#problem-0")
    assert cells(section, "Statistics", "genetic")[:4] == ["genetic", "0", "1", "–"]
    assert section.locator(".empty").count() == 1  # the progress
    assert "No run found a feasible design" in section.inner_text()
    assert opened.said == []
    opened.page.close()


def test_sweep_without_problems_is_a_page(browser: Browser, tmp_path: Path) -> None:
    data = {**sweep_data(problems=1), "problems": [], "failures": []}
    write_page(data, tmp_path / "page.html")
    tab = browser.new_page()
    said: list[str] = []
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto((tmp_path / "page.html").as_uri())
    assert tab.locator("main h2:visible").all_inner_texts() == ["Provenance"]
    assert said == []
    tab.close()
