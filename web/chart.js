// Draws what the page has as a picture already, so that it can be pointed at. uPlot does the drawing.
"use strict";

(() => {
  const FOLLOW_MS = 60000; // A minute is recorded once a minute.
  const SPAN_MIN = 60; // What has just begun is drawn over an hour: one minute is no picture.
  const drawn = new WeakMap();
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const units = (value, letters, tail) => {
    if (!(value > 0)) return "0";
    let unit = 0;
    while (value >= 999.5 && unit + 1 < letters.length) { value /= 1000; unit += 1; }
    return `${Number(value.toPrecision(3))}${letters[unit]}${tail}`;
  };
  const hashrate = (v) => units(v, [" ", " K", " M", " G", " T", " P", " E", " Z"], "H/s");
  const difficulty = (v) => units(v, ["", "K", "M", "G", "T", "P", "E"], "");

  /** Minutes without a neighbour: there is no line through them. */
  const alone = (plot, k) => {
    const values = plot.data[k];
    const isKnown = (at) => (values[at] ?? null) !== null;
    return [...values.keys()].filter((at) => isKnown(at) && !isKnown(at - 1) && !isKnown(at + 1));
  };

  /** The compact series of /api/pool-hashrate and of histories; see documentation/json-apis.md. */
  function decode(series) {
    const [times, hashes, bests] = [[], [], []];
    const value = (low, high, step) => (high > low ? low + (step / 255) * (high - low) : low);
    for (let k = 0; k < series.n; k += 1) {
      const isKnown = (series.p[k >> 3] >> (k & 7)) & 1;
      times.push(series.s * 60 + k * series.i);
      hashes.push(isKnown ? value(series.h0, series.h1, series.hq[k]) : null);
      const best = isKnown ? value(series.b0, series.b1, series.bq[k]) : null;
      bests.push(best > 1 ? best : null);
    }
    const first = hashes.findIndex((v) => v !== null);
    const from = Math.max(0, Math.min(first, series.n - SPAN_MIN));
    return first < 0 ? undefined : [times.slice(from), hashes.slice(from), bests.slice(from)];
  }

  function options(box, title) {
    const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 }, font: "12px system-ui" };
    return {
      title: undefined,
      width: box.clientWidth,
      height: Math.max(180, Math.min(320, Math.round(box.clientWidth / 3.6))),
      legend: { live: true },
      cursor: { drag: { x: true, y: false } },
      scales: { hash: { range: (_, low, high) => [0, (high || 1) * 1.25] }, best: { range: (_, low, high) => [0, (high || 1) * 1.25] } },
      axes: [
        { ...axis, values: (_, splits) => splits.map((at) => new Date(at * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })) },
        { ...axis, scale: "hash", size: 74, values: (_, splits) => splits.map(hashrate) },
        { ...axis, scale: "best", side: 1, size: 56, grid: { show: false }, values: (_, splits) => splits.map(difficulty) },
      ],
      series: [
        { label: "Time", value: (_, at) => (at ? new Date(at * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "—") },
        { label: "Hashrate", scale: "hash", stroke: color("--hash"), fill: color("--hash-back"), width: 1.5, points: { show: false, filter: alone, size: 7, fill: color("--hash") }, value: (_, v) => (v === null ? "—" : hashrate(v)) },
        { label: "Best share", scale: "best", stroke: color("--best"), width: 0, points: { show: true, size: 4, fill: color("--best"), stroke: color("--best") }, value: (_, v) => (v === null ? "—" : difficulty(v)) },
      ],
    };
  }

  async function load(figure) {
    const response = await fetch(figure.dataset.chart, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const answer = await response.json();
    return decode(answer.ph24 ?? answer);
  }

  async function draw(figure) {
    const box = figure.querySelector("[data-drawing]");
    if (!box || drawn.has(figure)) return;
    drawn.set(figure, undefined);
    try {
      const data = await load(figure);
      if (!data || !figure.isConnected) return;
      // The room stays the same while one drawing takes the other's place.
      box.style.minHeight = `${box.clientHeight}px`;
      const plot = new uPlot(options(box), data);
      box.replaceChildren(plot.root);
      box.style.minHeight = "";
      drawn.set(figure, plot);
      const follow = setInterval(async () => {
        if (!figure.isConnected) return clearInterval(follow);
        if (document.hidden) return;
        try { const fresh = await load(figure); if (fresh) plot.setData(fresh); } catch { /* The next minute. */ }
      }, FOLLOW_MS);
      new ResizeObserver(() => {
        const { width, height } = options(box);
        if (width > 0 && Math.abs(width - plot.width) > 1) plot.setSize({ width, height });
      }).observe(box);
    } catch { /* The drawing that is there stays. */ }
  }

  function again() {
    for (const figure of document.querySelectorAll("[data-chart]")) {
      const plot = drawn.get(figure);
      if (!plot) continue;
      const box = figure.querySelector("[data-drawing]");
      const fresh = new uPlot(options(box), plot.data);
      plot.destroy();
      box.replaceChildren(fresh.root);
      drawn.set(figure, fresh);
    }
  }

  window.chart = {
    draw: (root) => { for (const figure of root.querySelectorAll("[data-chart]")) draw(figure); },
    isDrawn: (root) => [...root.querySelectorAll("[data-chart]")].some((figure) => drawn.get(figure)),
  };
  document.addEventListener("themechange", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  window.chart.draw(document);
})();
