"use strict";

// The page of a sweep: reads the data that is embedded in it, and draws figures and tables of what
// the filters select. Texts from the data reach the document as text only, never as HTML.
(() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const AGENTS = [...new Set(DATA.problems.flatMap((problem) => problem.agents.map((a) => a.agent)))];
  const COLOURS = 9; // as many as the style sheet has
  const DASHES = ["solid", "dash", "dot", "dashdot"];
  const DASH_EVERY = 6; // so that lines of one colour differ in their dashes, and close hues do, too
  const MARKERS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star"];
  const SHOWN_RUNS = 60; // points per agent and figure: more of them hide each other, and take time
  const DENSITY_RUNS = 10; // of fewer runs a density says more than is known
  const RESAMPLES = 500;
  const AXES = [["env", "Environment"], ["workload", "Workload"], ["objective", "Objective"]];
  const SHARES = [["agent", "algorithm"], ["configuration", "hyperparameters"], ["seed", "seed"]];

  /** What is selected: "" is everything, `off` holds the agents that are left out. */
  const state = { env: "", workload: "", objective: "", off: new Set() };

  // --- Texts ------------------------------------------------------------------------------------

  /** Writes a number with a fixed number of decimals, a dash where there is none. */
  const fixed = (value, digits = 3) =>
    value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");

  /** Writes a value of a design or a metric: numbers with six significant digits. */
  function plain(value) {
    if (value === null || value === undefined) return "–";
    if (typeof value === "object") return JSON.stringify(value);
    if (typeof value !== "number") return String(value);
    const text = Number.isInteger(value) && Math.abs(value) < 1e9 ? value : Number(value.toPrecision(6));
    return String(text).replace("-", "−");
  }

  /** Writes how much a value differs from another one, in percent of the other one. */
  function change(value, from) {
    if (typeof value !== "number" || typeof from !== "number") return "";
    if (value === from) return "0 %";
    if (from === 0) return "–";
    const percent = (100 * (value - from)) / Math.abs(from);
    return `${percent > 0 ? "+" : ""}${fixed(percent, 1)} %`;
  }

  const interval = (value) =>
    value ? `${fixed(value[0])} [${fixed(value[1])}, ${fixed(value[2])}]` : "–";

  const count = (number, one, many = `${one}s`) =>
    `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

  const list = (values) => values.map(plain).join(", ");

  /** Makes a text safe for the plotting library, which reads tags and entities in labels. */
  const label = (text) =>
    String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  // --- Elements ---------------------------------------------------------------------------------

  /**
   * Makes an element.
   * @param {string} tag
   * @param {Object<string, string>} attributes
   * @param {...(Node|string)} children
   */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const colourIndex = (agent) => AGENTS.indexOf(agent) % COLOURS;

  const swatch = (agent) =>
    make("span", { class: "swatch", style: `background: var(--agent-${colourIndex(agent)})` });

  /**
   * Makes a table that scrolls by itself where it is too wide.
   * @param {string} name what it holds, for screen readers
   * @param {string[]} heads
   * @param {Array<{cells: Array<Node|string>, kind?: string}>} rows
   * @param {Set<number>} texts columns of text, aligned to the left
   */
  function table(name, heads, rows, texts = new Set()) {
    const style = (column) => (texts.has(column) ? { class: "text wrap" } : {});
    const head = heads.map((text, column) => make("th", { scope: "col", ...style(column) }, text));
    const body = rows.map(({ cells, kind }) =>
      make("tr", kind ? { class: kind } : {}, ...cells.map((cell, column) =>
        column === 0
          ? make("th", { scope: "row" }, ...[cell].flat())
          : make("td", style(column), ...[cell].flat()))));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
      make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
  }

  /** Makes a titled part of a section whose content follows the filters. */
  function block(title, content) {
    const body = make("div");
    const element = make("div", { class: "block" }, make("h3", {}, title), body);
    const update = () => {
      const nodes = content();
      element.hidden = nodes.length === 0;
      body.replaceChildren(...nodes);
    };
    return { element, update };
  }

  /** Says which command and version made what is shown; the rest is at the end of the page. */
  function made() {
    const commands = DATA.commands;
    const more = commands.length > 1 ? ` and ${count(commands.length - 1, "more command")}` : "";
    const version = DATA.versions.archgym_py;
    const by = version ? `archgym_py ${version}` : "a version that is not known";
    const text = commands.length ? [": ", make("code", {}, commands[0]), more] : [];
    return make("span", { class: "made", title: commands.join("\n") },
      make("a", { href: "#provenance" }, "Made by"), ` ${by}`, ...text);
  }

  // --- Figures ----------------------------------------------------------------------------------

  const cssValue = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colourOf = (agent) => cssValue(`--agent-${colourIndex(agent)}`);
  const dashOf = (agent) => DASHES[Math.floor(AGENTS.indexOf(agent) / DASH_EVERY) % DASHES.length];
  const markerOf = (agent) => MARKERS[AGENTS.indexOf(agent) % MARKERS.length];

  /** Returns a colour with an opacity. */
  function faint(hex, opacity) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${red}, ${green}, ${blue}, ${opacity})`;
  }

  const axis = (title, more = {}) => ({
    title: { text: title, standoff: 10 },
    automargin: true,
    gridcolor: cssValue("--grid"),
    linecolor: cssValue("--line"),
    zeroline: false,
    ...more,
  });

  /** Returns an axis with the names of agents, the first at the top. */
  const agentAxis = (agents) => axis("", {
    tickvals: agents.map((_, row) => row),
    ticktext: agents.map(label),
    range: [agents.length - 0.45, -0.75],
    showgrid: false,
    fixedrange: true,
  });

  function layoutOf(own, height) {
    const ink = cssValue("--ink");
    return {
      height,
      margin: { l: 52, r: 14, t: 12, b: 48 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
      hoverlabel: {
        bgcolor: cssValue("--raised"),
        bordercolor: cssValue("--line"),
        font: { color: ink },
        align: "left",
        namelength: -1,
      },
      hovermode: "closest",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: cssValue("--soft"), activecolor: cssValue("--accent") },
      showlegend: false,
      legend: { orientation: "h", x: 0, y: -0.24, yanchor: "top", itemclick: false, itemdoubleclick: false },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // leaves touch to scrolling
      ...own,
    };
  }

  const SETTINGS = {
    responsive: true,
    displaylogo: false,
    // Named one by one: among the library's own is one that offers to send the data away.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "autoScale2d", "resetScale2d"]],
    toImageButtonOptions: { format: "svg", filename: "archgym" },
  };

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) figures.get(target).show(isIntersecting);
  }, { rootMargin: "200px" });
  const figures = new Map();

  /** A figure that is drawn when it comes into view, and again when what it shows has changed. */
  class Figure {
    #build;
    #visible = false;
    #stale = true;
    #plot = make("div", { class: "plot" });
    #note = make("span");

    /**
     * @param {string} title
     * @param {string} caption how to read it
     * @param {function(): ({traces: Object[], layout: Object, height: number, note?: string}|string)}
     *   build returns what to draw, or why there is nothing to draw
     */
    constructor(title, caption, build) {
      this.#build = build;
      this.#plot.style.minHeight = "22rem"; // so that what is below stays where it is
      this.element = make("figure", { "aria-label": title }, make("h3", {}, title), this.#plot,
        make("figcaption", {}, caption, this.#note, made()));
      figures.set(this.element, this);
    }

    show(visible) {
      this.#visible = visible;
      if (visible && this.#stale) this.#draw();
    }

    update() {
      this.#stale = true;
      if (this.#visible) this.#draw();
    }

    #draw() {
      this.#stale = false;
      const built = this.#build();
      if (typeof built === "string") {
        if (this.#plot.matches(".js-plotly-plot")) Plotly.purge(this.#plot);
        this.#plot.className = "plot empty";
        this.#plot.textContent = built;
        this.#note.textContent = "";
      } else {
        if (this.#plot.matches(".empty")) this.#plot.replaceChildren();
        this.#plot.classList.remove("empty");
        Plotly.react(this.#plot, built.traces, layoutOf(built.layout, built.height), SETTINGS);
        this.#note.textContent = built.note ? ` ${built.note}` : "";
      }
      this.element.dataset.drawn = "true";
    }
  }

  /** Returns the agents of a problem that are shown and have finished runs. */
  const shown = (problem) =>
    problem.agents.filter((agent) => !state.off.has(agent.agent) && agent.scores.length > 0);

  const NONE = "No selected agent has a finished run here.";

  /** Returns evenly spaced places among `length` ordered things, both ends included. */
  function spread(length, most) {
    if (length <= most) return [...Array(length).keys()];
    return Array.from({ length: most }, (_, i) => Math.round((i * (length - 1)) / (most - 1)));
  }

  /** Returns the frame of scores that figures begin with, and how many runs lie left of it. */
  function frame(problem, agents) {
    if (problem.thresholds.length === 0) return { range: undefined, outside: 0 };
    const low = problem.thresholds[0];
    const high = problem.thresholds.at(-1);
    const margin = 0.04 * (high - low || 1);
    const outside = agents.flatMap((a) => a.scores).filter((score) => score < low - margin).length;
    return { range: [low - margin, high + margin], outside };
  }

  const outsideNote = (outside) =>
    outside ? `${count(outside, "run")} with lower scores left of the frame: double-click to see all.` : "";

  
  function violin(agent, row) {
    const colour = colourOf(agent.agent);
    return {
      type: "violin", orientation: "h", side: "negative", x: agent.scores, y0: row, name: label(agent.agent),
      width: 1.1, scalemode: "width", spanmode: "hard", points: false, hoverinfo: "skip",
      line: { color: colour, width: 1 }, fillcolor: faint(colour, 0.25),
    };
  }

  /** Draws the box from the quartiles in the data; whiskers end at the last run within 1.5 IQR. */
  function box(agent, row) {
    const [q1, median, q3] = agent.quartiles;
    const reach = 1.5 * (q3 - q1);
    const within = agent.scores.filter((score) => score >= q1 - reach && score <= q3 + reach);
    const colour = colourOf(agent.agent);
    return {
      type: "box", orientation: "h", y: [row + 0.06], q1: [q1], median: [median], q3: [q3],
      lowerfence: [Math.min(...within, q1)], upperfence: [Math.max(...within, q3)],
      width: 0.12, name: label(agent.agent), hoverinfo: "skip",
      line: { color: colour, width: 1.3 }, fillcolor: cssValue("--paper"),
    };
  }

  function points(agent, row) {
    const order = [...agent.scores.keys()].sort((i, j) => agent.scores[i] - agent.scores[j]);
    const kept = spread(order.length, SHOWN_RUNS).map((place) => order[place]);
    return {
      type: "scatter", mode: "markers", name: label(agent.agent),
      x: kept.map((run) => agent.scores[run]),
      // Multiples of the golden ratio fill an interval evenly, so that few points overlap.
      y: kept.map((_, i) => row + 0.17 + 0.24 * ((i * 0.618034) % 1)),
      text: kept.map((run) => {
        const sample = agent.samples[run];
        return `<b>${label(agent.agent)}</b>, ${label(agent.labels[run])}, seed ${agent.seeds[run]}` +
          `<br>score ${fixed(agent.scores[run])}` +
          (sample === null ? "<br>no feasible design" : `<br>best design at sample ${sample}`);
      }),
      hovertemplate: "%{text}<extra></extra>",
      marker: { color: colourOf(agent.agent), size: 4.5, opacity: 0.75 },
    };
  }

  const hasDensity = ({ scores }) => scores.length >= DENSITY_RUNS && new Set(scores).size > 2;

  function distribution(problem) {
    const agents = shown(problem);
    if (agents.length === 0) return NONE;
    const { range, outside } = frame(problem, agents);
    const traces = agents.flatMap((agent, row) => [
      ...(hasDensity(agent) ? [violin(agent, row)] : []),
      box(agent, row),
      points(agent, row),
    ]);
    const thinned = agents.some((agent) => agent.scores.length > SHOWN_RUNS)
      ? `Of agents with more runs, ${SHOWN_RUNS} points evenly by rank; violins and boxes are of all runs. ` : "";
    return {
      traces,
      height: figureHeight(problem),
      layout: {
        xaxis: axis("score", { range: range && [...range] }),
        yaxis: agentAxis(agents.map((agent) => agent.agent)),
        violingap: 0,
      },
      note: thinned + outsideNote(outside),
    };
  }

  /** Returns the height of the upper figures, equal so that they stand side by side. */
  const figureHeight = (problem) => Math.max(400, 76 + 46 * shown(problem).length);

  const line = (agent, more) => ({
    type: "scatter", mode: "lines", name: label(agent), legendgroup: label(agent),
    line: { color: colourOf(agent), width: 1.8, dash: dashOf(agent), ...more.line },
    ...Object.fromEntries(Object.entries(more).filter(([key]) => key !== "line")),
  });

  function ecdf(problem) {
    const agents = shown(problem);
    if (agents.length === 0) return NONE;
    const { range, outside } = frame(problem, agents);
    const traces = agents.map((agent) => {
      const sorted = [...agent.scores].sort((a, b) => a - b);
      return line(agent.agent, {
        x: [sorted[0], ...sorted],
        y: [0, ...sorted.map((_, i) => (i + 1) / sorted.length)],
        line: { shape: "hv" },
        hovertemplate: "%{y:.1%} of the runs score up to %{x:.3f}",
      });
    });
    return {
      traces,
      height: 400,
      layout: {
        xaxis: axis("score", { range: range && [...range] }),
        yaxis: axis("share of runs", { range: [0, 1.02], tickformat: ".0%" }),
        showlegend: true,
      },
      note: outsideNote(outside),
    };
  }

  function band(agent, curve) {
    return {
      type: "scatter", mode: "lines", legendgroup: label(agent), showlegend: false, hoverinfo: "skip",
      x: [...curve.samples, ...curve.samples.toReversed()],
      y: [...curve.q3, ...curve.q1.toReversed()],
      fill: "toself", fillcolor: faint(colourOf(agent), 0.13), line: { width: 0 },
    };
  }

  function progress(problem) {
    const agents = shown(problem).filter((agent) => agent.curve && agent.curve.samples.length > 0);
    if (agents.length === 0) return NONE;
    const lowest = problem.thresholds[0] ?? 0;
    const top = Math.max(...agents.flatMap((agent) => agent.curve.q3));
    const bottom = Math.max(lowest, Math.min(...agents.flatMap((agent) => agent.curve.q1)));
    const margin = 0.04 * (top - bottom || 1);
    return {
      traces: [
        ...agents.map(({ agent, curve }) => band(agent, curve)),
        ...agents.map(({ agent, curve }) => line(agent, {
          x: curve.samples, y: curve.median,
          hovertemplate: "median %{y:.3f} after %{x} samples",
        })),
      ],
      height: figureHeight(problem),
      layout: {
        xaxis: axis("samples", { type: "log", dtick: 1 }),
        yaxis: axis("score of the best design so far", { range: [bottom - margin, top + margin] }),
        showlegend: true,
      },
      note: bottom === lowest ? "The frame begins at the 1st percentile of the final scores." : "",
    };
  }

  function bestOf(problem) {
    const agents = shown(problem).filter((agent) => agent.best_of.length > 0);
    if (agents.length === 0) return NONE;
    const lines = agents.map((agent) => line(agent.agent, {
      x: agent.best_of.map((_, k) => k + 1), y: agent.best_of,
      mode: agent.best_of.length > 1 ? "lines" : "markers",
      marker: { color: colourOf(agent.agent), symbol: markerOf(agent.agent), size: 8 },
      hovertemplate: "best of %{x}: %{y:.3f}",
    }));
    const defaults = agents.filter((agent) => agent.default_score !== null).map((agent) => ({
      type: "scatter", mode: "markers", name: label(agent.agent), legendgroup: label(agent.agent),
      showlegend: false, x: [1], y: [agent.default_score], cliponaxis: false,
      hovertemplate: "default configuration %{y:.3f}",
      marker: { symbol: "diamond-open", size: 9, color: colourOf(agent.agent), line: { width: 1.8 } },
    }));
    return {
      traces: [...lines, ...defaults],
      height: 400,
      layout: {
        xaxis: axis("configurations tried, k", { rangemode: "tozero" }),
        yaxis: axis("expected best mean score"),
        showlegend: true,
      },
    };
  }

  // --- One problem ------------------------------------------------------------------------------

  /** Orders agents by interquartile mean, the best first; those without runs come last. */
  const ranked = (agents) =>
    [...agents].sort((a, b) => (b.iqm?.[0] ?? -Infinity) - (a.iqm?.[0] ?? -Infinity));

  function statisticsRow(agent) {
    const [q1, median, q3] = agent.quartiles ?? [null, null, null];
    const regret = agent.regret;
    return [
      [swatch(agent.agent), agent.agent],
      String(agent.runs),
      String(agent.failed),
      interval(agent.iqm),
      fixed(median),
      q1 === null ? "–" : fixed(q3 - q1),
      fixed(agent.range),
      fixed(agent.default_score),
      fixed(agent.tuned_score ?? null),
      regret ? `${fixed(regret.quartiles[1], 2)} %` : "–",
      regret ? `${regret.optimal_runs} of ${agent.scores.length}` : "–",
    ];
  }

  function statistics(problem) {
    const agents = ranked(problem.agents.filter((agent) => !state.off.has(agent.agent)));
    if (agents.length === 0) return [];
    return [
      table("Statistics", ["agent", "runs", "failed", "IQM [95 % interval]", "median", "IQR", "range",
        "default", "tuned", "median regret", "optimum found"],
      agents.map((agent) => ({ cells: statisticsRow(agent) }))),
      make("p", { class: "note" },
        "Scores of finished runs. IQM: mean of the middle half. IQR: third less first quartile. " +
        "Default: mean of the runs with default hyperparameters. Tuned: the best configuration, chosen by " +
        "all seeds but the one that it is measured on. Regret: by how much the best design of a run exceeds " +
        "the optimum.", made()),
    ];
  }

  function tunedConfigurations(problem) {
    const agents = ranked(shown(problem)).filter((agent) => agent.tuned);
    if (agents.length === 0) return [];
    const settings = (config) =>
      Object.entries(config).map(([name, value]) => `${name}=${plain(value)}`).join(", ") || "–";
    return [make("details", {},
      make("summary", {}, "Best configuration of each agent"),
      table("Best configurations", ["agent", "configuration", "mean score", "hyperparameters"],
        agents.map(({ agent, tuned }) => ({
          cells: [[swatch(agent), agent], tuned.label, fixed(tuned.score), make("code", {}, settings(tuned.config))],
        })), new Set([3])),
      make("p", { class: "note" }, "Mean over all seeds, which also chose the configuration: it flatters."))];
  }

  /** Sets two mappings side by side, row by row; values that differ stand out. */
  function beside(name, head, unitOf, one, other) {
    const names = [...new Set([...Object.keys(one ?? {}), ...Object.keys(other)])];
    const units = names.some(unitOf);
    const rows = names.map((key) => {
      const from = one?.[key];
      const value = other[key];
      const same = JSON.stringify(from) === JSON.stringify(value);
      const bold = make("span", same ? {} : { style: "font-weight: 600" }, plain(value));
      const unit = units ? [unitOf(key)] : [];
      return { cells: [key, ...unit, plain(from), bold, change(value, from)], kind: same ? "same" : "" };
    });
    return table(name, [head, ...(units ? ["unit"] : []), "default", "best", "change"], rows);
  }

  function bestDesign(problem) {
    const { best, default: usual, units } = problem;
    if (best === null) return [make("p", { class: "note" }, "No run found a feasible design.")];
    if (state.off.has(best.agent)) {
      return [make("p", { class: "note" }, `The best design is by ${best.agent}, which is not selected.`)];
    }
    const unit = (name) => (units[name] === "1" ? "" : units[name] ?? "");
    const regret = best.regret_percent === null ? "" : `, ${fixed(best.regret_percent, 2)} % above the optimum`;
    return [
      make("p", { class: "facts" }, `Found by ${best.agent} (${best.label}, seed ${best.seed}) at sample ` +
        `${best.sample}: reward ${plain(best.reward)}${usual ? `, default ${plain(usual.reward)}` : ""}${regret}.` +
        (usual ? "" : " The default design is not known or not feasible.")),
      make("div", { class: "grid" },
        make("div", { class: "block" }, beside("Metrics", "metric", unit, usual?.metrics, best.metrics)),
        make("div", { class: "block" }, beside("Parameters", "parameter", unit, usual?.design, best.design))),
      make("p", { class: "note" }, made()),
    ];
  }

  /** Draws what the variance of the scores is due to, as one bar with its numbers. */
  function varianceBar(variance) {
    if (!variance) return [];
    const bar = SHARES.map(([key]) => make("span", { style: `flex: ${variance[key]} 0 0` }));
    const text = SHARES.map(([key, name]) => `${name} ${fixed(100 * variance[key], 0)} %`).join(", ");
    return [
      make("div", { class: "shares", "aria-hidden": "true" }, ...bar),
      make("p", { class: "note" }, `Share of the variance of final scores due to: ${text}. All agents.`),
    ];
  }

  function facts(problem) {
    const axes = AXES.map(([key]) => problem[key]).filter(Boolean).join(" · ");
    const optimum = problem.optimum;
    const known = optimum
      ? `Score 1 is the optimum: ${optimum.metric} ${plain(optimum.value)} ` +
        `${problem.units[optimum.metric] ?? ""} (${optimum.source}).`
      : "The optimum is not known: score 1 is the best design that any run found.";
    return `${axes}. Budget: ${list(problem.budgets)} samples. ${known}`;
  }

  /** Makes the section of a problem; it is hidden where the filters leave the problem out. */
  function problemSection(problem, index) {
    const parts = [
      new Figure("Final scores", "0 is the default design, 1 the best known. Density (from " +
        `${DENSITY_RUNS} runs on), quartiles and single runs; hover for a run.`,
        () => distribution(problem)),
      new Figure("Progress", "Median over the runs; bands from the first to the third quartile.",
        () => progress(problem)),
      new Figure("Distribution function", "The further right and below, the better.", () => ecdf(problem)),
      new Figure("What tuning buys", "Best of k configurations drawn at random, mean over seeds. ◇ is the default one.",
        () => bestOf(problem)),
    ];
    const blocks = [
      block("Statistics", () => [...statistics(problem), ...tunedConfigurations(problem)]),
      block("What decides the score", () => varianceBar(problem.variance)),
      block("Best design beside the default", () => bestDesign(problem)),
    ];
    const id = `problem-${index}`;
    const element = make("section", { id, "aria-labelledby": `${id}-title` },
      make("h2", { id: `${id}-title` }, problem.name),
      make("p", { class: "facts" }, facts(problem)),
      make("div", { class: "grid" }, ...parts.map((part) => part.element)),
      ...blocks.map((part) => part.element));
    const update = (problems) => {
      element.hidden = !problems.includes(problem);
      if (!element.hidden) [...parts, ...blocks].forEach((part) => part.update());
    };
    return { element, update };
  }

  // --- All problems -----------------------------------------------------------------------------

  /** Returns a generator of uniform numbers in [0, 1): mulberry32 by Tommy Ettinger, public domain. */
  function uniform(seed) {
    let now = seed;
    return () => {
      now = (now + 0x6d2b79f5) | 0;
      let mixed = Math.imul(now ^ (now >>> 15), 1 | now);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  const meanOfAll = (values) => (values.some((value) => value === null || value === undefined) ? null : mean(values));

  /** Returns the mean without the lowest and highest quarter of sorted values, each `weight` times. */
  function trimmedMean(sorted, weights) {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const cut = Math.floor(total / 4);
    let before = 0;
    let sum = 0;
    sorted.forEach((value, i) => {
      const from = Math.max(before, cut);
      before += weights[i];
      sum += value * Math.max(0, Math.min(before, total - cut) - from);
    });
    return sum / (total - 2 * cut);
  }

  /** Returns a quantile of sorted values, between two of them in proportion. */
  function quantile(sorted, share) {
    const place = (sorted.length - 1) * share;
    const low = Math.floor(place);
    return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
  }

  /** Returns runs with the unit that each is drawn with: its configuration, with all its seeds. */
  function bootstrapUnits(entries) {
    const sizes = new Set();
    const groups = entries.map((entry) => Map.groupBy(entry.scores.keys(), (run) => entry.labels[run]));
    groups.forEach((group) => group.forEach((runs) => sizes.add(runs.length)));
    const single = sizes.size > 1; // runs are missing: each is a unit of its own
    const strata = [];
    const runs = [];
    let units = 0;
    entries.forEach((entry, i) => {
      const first = units;
      const rows = single ? [...entry.scores.keys()].map((run) => [run]) : [...groups[i].values()];
      for (const row of rows) {
        for (const run of row) runs.push({ score: entry.scores[run], unit: units });
        units += 1;
      }
      strata.push([first, units]);
    });
    return { strata, runs, units };
  }

  /** Returns the interquartile mean with its stratified percentile bootstrap interval. */
  function iqmInterval(entries) {
    const { strata, runs, units } = bootstrapUnits(entries);
    runs.sort((a, b) => a.score - b.score);
    const sorted = runs.map((run) => run.score);
    const draw = uniform(1);
    const estimates = Array.from({ length: RESAMPLES }, () => {
      const drawn = new Uint16Array(units);
      for (const [first, end] of strata) {
        for (let i = first; i < end; i += 1) drawn[first + Math.floor(draw() * (end - first))] += 1;
      }
      return trimmedMean(sorted, runs.map((run) => drawn[run.unit]));
    }).sort((a, b) => a - b);
    const estimate = trimmedMean(sorted, sorted.map(() => 1));
    return [estimate, quantile(estimates, 0.025), quantile(estimates, 0.975)];
  }

  /** Returns the mean rank of each row over the columns, 1 for the highest; equals share ranks. */
  function meanRanks(rows) {
    return rows.map((row) => mean(row.map((value, column) => {
      const better = rows.filter((other) => other[column] > value).length;
      const equal = rows.filter((other) => other[column] === value).length;
      return better + (equal + 1) / 2;
    })));
  }

  /** Compares agents over some of the problems, as the analysis does over all of them. */
  function compare(problems) {
    const names = AGENTS.filter((agent) => problems.every((problem) =>
      problem.agents.some((entry) => entry.agent === agent && entry.scores.length > 0)));
    const entries = new Map(names.map((agent) =>
      [agent, problems.map((problem) => problem.agents.find((entry) => entry.agent === agent))]));
    const pooled = new Map(names.map((agent) =>
      [agent, entries.get(agent).flatMap((entry) => entry.scores).sort((a, b) => a - b)]));
    const ranks = meanRanks(names.map((agent) => entries.get(agent).map((entry) => entry.iqm[0])));
    const thresholds = DATA.overall.thresholds;
    const pairs = (one, other) => meanOfAll(problems.map(({ improvement }) =>
      improvement.matrix[improvement.agents.indexOf(one)]?.[improvement.agents.indexOf(other)]));
    return {
      agents: names.map((agent, i) => ({
        agent,
        iqm: iqmInterval(entries.get(agent)),
        mean_rank: ranks[i],
        quartiles: [0.25, 0.5, 0.75].map((share) => quantile(pooled.get(agent), share)),
        default_score: meanOfAll(entries.get(agent).map((entry) => entry.default_score)),
        tuned_score: meanOfAll(entries.get(agent).map((entry) => entry.tuned_score)),
      })),
      thresholds,
      profiles: Object.fromEntries(names.map((agent) => [agent, thresholds.map((threshold) =>
        pooled.get(agent).filter((score) => score > threshold).length / pooled.get(agent).length)])),
      improvement: { agents: names, matrix: names.map((one) => names.map((other) => pairs(one, other))) },
    };
  }

  const selectedAgents = (overall) => overall.agents.filter((row) => !state.off.has(row.agent));
  const NOBODY = "No selected agent has finished runs on all selected problems.";

  function forest(overall) {
    const rows = ranked(selectedAgents(overall));
    if (rows.length === 0) return NOBODY;
    const traces = rows.map(({ agent, iqm: [estimate, low, high] }, place) => ({
      type: "scatter", mode: "markers", name: label(agent), x: [estimate], y: [place],
      error_x: {
        type: "data", symmetric: false, array: [high - estimate], arrayminus: [estimate - low],
        color: colourOf(agent), thickness: 2, width: 5,
      },
      marker: { color: colourOf(agent), size: 9, symbol: markerOf(agent) },
      hovertemplate: `IQM ${interval([estimate, low, high])}`,
    }));
    return {
      traces,
      height: Math.max(400, 90 + 30 * rows.length),
      layout: {
        xaxis: axis("interquartile mean score"),
        yaxis: { ...agentAxis(rows.map((row) => row.agent)), range: [rows.length - 0.4, -0.6] },
      },
    };
  }

  function profile(overall) {
    const rows = selectedAgents(overall);
    if (rows.length === 0 || overall.thresholds.length === 0) return NOBODY;
    return {
      traces: rows.map(({ agent }) => line(agent, {
        x: overall.thresholds, y: overall.profiles[agent],
        hovertemplate: "%{y:.1%} of the runs score more than %{x:.3f}",
      })),
      height: 400,
      layout: {
        xaxis: axis("score τ"),
        yaxis: axis("share of runs above τ", { range: [0, 1.02], tickformat: ".0%" }),
        showlegend: true,
      },
    };
  }

  function improvement(overall) {
    const { agents, matrix } = overall.improvement;
    const order = ranked(selectedAgents(overall)).map((row) => row.agent);
    if (order.length < 2) return "Select at least two agents that met all selected problems.";
    const places = order.map((agent) => agents.indexOf(agent));
    const names = order.map(label);
    return {
      traces: [{
        type: "heatmap", x: names, y: names, z: places.map((row) => places.map((column) => matrix[row][column])),
        zmin: 0, zmax: 1, xgap: 2, ygap: 2,
        colorscale: [[0, cssValue("--low")], [0.5, cssValue("--middle")], [1, cssValue("--high")]],
        colorbar: { thickness: 10, outlinewidth: 0, tickvals: [0, 0.5, 1], len: 0.8 },
        texttemplate: order.length <= 10 ? "%{z:.2f}" : "", textfont: { size: 11 },
        hovertemplate: "P(%{y} better than %{x}) = %{z:.3f}<extra></extra>",
      }],
      height: Math.max(380, 120 + 34 * order.length),
      layout: {
        xaxis: axis("", { type: "category", tickangle: -45, showgrid: false }),
        yaxis: axis("", { type: "category", autorange: "reversed", showgrid: false }),
      },
    };
  }

  function overallTable(overall) {
    const rows = ranked(selectedAgents(overall));
    if (rows.length === 0) return [make("p", { class: "note" }, NOBODY)];
    return [
      table("Overall statistics", ["agent", "IQM [95 % interval]", "mean rank", "median", "IQR", "default", "tuned"],
        rows.map((row) => ({
          cells: [
            [swatch(row.agent), row.agent], interval(row.iqm), fixed(row.mean_rank, 2), fixed(row.quartiles[1]),
            fixed(row.quartiles[2] - row.quartiles[0]), fixed(row.default_score), fixed(row.tuned_score),
          ],
        }))),
      make("p", { class: "note" }, "Mean rank: by the interquartile mean on each problem, among all agents that " +
        "met all of them, selected or not. Default and tuned: means over the problems.", made()),
    ];
  }

  /** Makes the section over all problems; it compares as soon as there are two of them. */
  function overallSection() {
    let overall = DATA.overall;
    let problems = DATA.problems;
    const whole = () => problems.length === DATA.problems.length;
    const text = make("p", { class: "facts" });
    const parts = [
      new Figure("Interquartile mean", "With 95 % bootstrap intervals over configurations, stratified by problem.",
        () => forest(overall)),
      new Figure("Performance profile", "Runs of all selected problems. The higher, the better.", () => profile(overall)),
      new Figure("Probability of improvement", "How likely a run of the row's agent beats one of the column's; 0.5 is no difference.",
        () => improvement(overall)),
    ];
    const statisticsBlock = block("Statistics", () => overallTable(overall));
    const variance = block("What decides the score", () => (whole() ? varianceBar(overall.variance) : []));
    const element = make("section", { id: "overall", "aria-labelledby": "overall-title" },
      make("h2", { id: "overall-title" }, "Over all selected problems"), text,
      make("div", { class: "grid" }, parts[0].element, parts[1].element, parts[2].element,
        variance.element), statisticsBlock.element);
    const update = (selected) => {
      element.hidden = selected.length < 2;
      if (element.hidden) return;
      const same = selected.length === problems.length && selected.every((problem) => problems.includes(problem));
      problems = selected;
      if (!same) overall = whole() ? DATA.overall : compare(selected);
      text.textContent = `${count(selected.length, "problem")}. ` + (whole() ? "" :
        `Computed in this page for this selection; intervals from ${RESAMPLES} resamples.`);
      [...parts, statisticsBlock, variance].forEach((part) => part.update());
    };
    return { element, update };
  }

  // --- The rest of the page ---------------------------------------------------------------------

  function transferRows(problems) {
    const selected = new Set(problems.map((problem) => problem.name));
    return DATA.transfer.filter((row) =>
      !state.off.has(row.agent) && selected.has(row.source) && selected.has(row.target));
  }

  function transferTable(problems) {
    const rows = transferRows(problems);
    if (rows.length === 0) return [];
    return [
      table("Transfer", ["agent", "tuned on", "run on", "transferred", "tuned there", "default"],
        rows.map((row) => ({
          cells: [[swatch(row.agent), row.agent], row.source, row.target, fixed(row.transferred), fixed(row.own),
            fixed(row.default)],
        })), new Set([1, 2])),
      make("p", { class: "note" }, "Mean scores on the problem that they are run on.", made()),
    ];
  }

  function failureTable() {
    const rows = DATA.failures.filter((row) => !state.off.has(row.agent));
    if (rows.length === 0) return [];
    return [table("Failures", ["agent", "runs", "message"],
      rows.map((row) => ({ cells: [[swatch(row.agent), row.agent], String(row.runs), row.message] })), new Set([2]))];
  }

  /** Makes a section with one table; it is hidden where the table would be empty. */
  function tableSection(id, title, content) {
    const body = make("div");
    const element = make("section", { id, "aria-labelledby": `${id}-title` },
      make("h2", { id: `${id}-title` }, title), body);
    const update = (problems) => {
      const nodes = content(problems);
      element.hidden = nodes.length === 0;
      body.replaceChildren(...nodes);
    };
    return { element, update };
  }

  function provenance() {
    const versions = Object.entries(DATA.versions).map(([name, version]) => ({ cells: [name, version] }));
    const commits = DATA.git_commits;
    return make("section", { id: "provenance", "aria-labelledby": "provenance-title" },
      make("h2", { id: "provenance-title" }, "Provenance"),
      make("p", { class: "facts" }, "All figures and tables are made of the runs of:"),
      make("pre", {}, DATA.commands.join("\n") || "(not recorded)"),
      make("p", { class: "facts" }, commits.length ? `${commits.length > 1 ? "Commits" : "Commit"}: ${commits.join(", ")}` : "No commit recorded."),
      make("div", { style: "max-width: 24rem" }, table("Versions", ["package", "version"], versions)));
  }

  // --- Filters ----------------------------------------------------------------------------------

  const selectedProblems = () => DATA.problems.filter((problem) =>
    AXES.every(([key]) => state[key] === "" || state[key] === problem[key]));

  /** Makes a select for an axis on which problems differ. */
  function axisSelect([key, name]) {
    const values = [...new Set(DATA.problems.map((problem) => problem[key]))];
    if (values.length < 2) return [];
    // "" selects everything; a problem may have "" as its value, too, which then is not offered.
    const options = values.filter(Boolean).map((value) => make("option", { value }, value));
    const select = make("select", { id: `filter-${key}` }, make("option", { value: "" }, "all"), ...options);
    select.addEventListener("change", () => {
      state[key] = select.value;
      refresh();
    });
    return [make("label", {}, name, select)];
  }

  function agentChip(agent) {
    const chip = make("button", { type: "button", class: "chip", "aria-pressed": "true" }, swatch(agent), agent);
    chip.dataset.agent = agent;
    chip.addEventListener("click", () => {
      if (!state.off.delete(agent)) state.off.add(agent);
      refresh();
    });
    return chip;
  }

  function resetButton() {
    const button = make("button", { type: "button", id: "reset" }, "Reset");
    button.addEventListener("click", () => {
      AXES.forEach(([key]) => { state[key] = ""; });
      state.off.clear();
      document.querySelectorAll("#selects select").forEach((select) => { select.value = ""; });
      refresh();
    });
    return button;
  }

  const sections = [
    overallSection(),
    ...DATA.problems.map(problemSection),
    tableSection("transfer", "Transfer of tuned hyperparameters", transferTable),
    tableSection("failures", "Failed runs", failureTable),
  ];

  /** Brings everything in line with the filters. */
  function refresh() {
    const problems = selectedProblems();
    document.querySelectorAll("#chips [data-agent]").forEach((chip) =>
      chip.setAttribute("aria-pressed", String(!state.off.has(chip.dataset.agent))));
    const agents = AGENTS.length - state.off.size;
    document.getElementById("count").textContent = problems.length
      ? `${problems.length} of ${count(DATA.problems.length, "problem")}, ${agents} of ${count(AGENTS.length, "agent")}`
      : "No problem has this combination. Reset the filters.";
    sections.forEach((section) => section.update(problems));
  }

  // --- Light and dark ---------------------------------------------------------------------------

  const dark = matchMedia("(prefers-color-scheme: dark)");

  function setTheme(name) {
    document.documentElement.dataset.theme = name;
    document.getElementById("theme").textContent = name === "dark" ? "Light" : "Dark";
    figures.forEach((figure) => figure.update());
  }

  function followTheme() {
    const follow = () => setTheme(dark.matches ? "dark" : "light");
    dark.addEventListener("change", follow);
    document.getElementById("theme").addEventListener("click", () => {
      dark.removeEventListener("change", follow); // who chose by hand keeps it
      setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    });
    follow();
  }

  function summary() {
    const budgets = [...new Set(DATA.problems.flatMap((problem) => problem.budgets))].sort((a, b) => a - b);
    return `${count(DATA.runs, "run")}, ${DATA.failed} failed: ${count(AGENTS.length, "agent")} on ` +
      `${count(DATA.problems.length, "problem")}, ${list(budgets)} samples each.`;
  }

  document.getElementById("summary").textContent = summary();
  document.getElementById("selects").append(...AXES.flatMap(axisSelect));
  document.getElementById("selects").append(resetButton());
  document.getElementById("chips").append(...AGENTS.map(agentChip));
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("main").append(...sections.map((section) => section.element), provenance());
  followTheme();
  refresh();
  // The plotting library is read after this script; figures wait for it.
  document.addEventListener("DOMContentLoaded", () => figures.forEach((_, element) => watcher.observe(element)));
})();
