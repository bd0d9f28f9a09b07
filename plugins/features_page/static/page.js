// Follows Airflow's light or dark theme, lets links leave Airflow's frame, and draws charts of tables.
"use strict";

const root = document.documentElement;
root.classList.add("scripted");
if (window.parent !== window) root.classList.add("framed"); // Airflow shows the name and the run

// Airflow stores its theme here; with "system" or no value, the browser decides.
function followTheme() {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  else delete root.dataset.theme;
}

// The sandbox of Airflow's frame blocks links out of it, but not a link in Airflow's own document.
function openOutsideFrame(event) {
  const link = event.target.closest('a[target="_top"]');
  if (!link || window.parent === window) return;
  event.preventDefault();
  const outerLink = window.parent.document.createElement("a");
  outerLink.href = link.href;
  outerLink.click();
}

// Airflow's address follows the frame under /plugin/, but not in the tabs of a DAG and of its runs.
// There, the view is kept behind the # of Airflow's address, and shown again when that is opened.
const home = new URL("..", document.currentScript?.src || location.href).pathname;

function followTab() {
  if (window.parent === window || window.parent.location.pathname.includes("/plugin/experiment-features")) return;
  const { hash, pathname, search } = window.parent.location;
  const isEntry = new URLSearchParams(location.search).has("dag");
  const isBack = performance.getEntriesByType("navigation")[0]?.type === "back_forward";
  const kept = new URL(home + hash.replace(/^#\/?/, ""), location.href);
  if (isEntry && hash.startsWith("#/") && !isBack && kept.pathname.startsWith(home)) {
    location.replace(kept);
    return;
  }
  const view = isEntry ? "" : `#/${location.pathname.slice(home.length)}${location.search}${location.hash}`;
  window.parent.history.replaceState(window.parent.history.state, "", pathname + search + view);
}

// The address of the view itself: it opens anywhere, also for those who have to log in first.
async function copyAddress(event) {
  const button = event.currentTarget;
  const said = button.textContent;
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(location.href);
    else copySelected(location.href); // browsers have no clipboard on plain HTTP
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not copied: the browser does not allow it";
  }
  setTimeout(() => { button.textContent = said; }, 2000);
}

function copySelected(text) {
  const field = document.body.appendChild(document.createElement("textarea"));
  field.value = text;
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (!isCopied) throw new Error("not copied");
}

// Starts a run as Airflow's own form does: the browser sends the visitor's cookie along, and Airflow's
// API decides. The page itself changes nothing.
async function startRun(event) {
  event.preventDefault();
  const form = event.target;
  const [button, told] = [form.querySelector("button"), form.querySelector("[role=status]")];
  const conf = {};
  for (const { name, type, checked, value, valueAsNumber } of form.elements) {
    if (name) conf[name] = type === "checkbox" ? checked : type === "number" ? valueAsNumber : value;
  }
  const tell = (kind, ...parts) => {
    told.className = `notice ${kind}`;
    told.hidden = false;
    told.replaceChildren(...parts);
  };
  const link = (text, href, className = "") => Object.assign(document.createElement("a"), { textContent: text, href, className });
  button.disabled = true;
  tell("", "Asking Airflow …");
  try {
    const answer = await fetch(form.dataset.api, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ logical_date: null, conf }),
    });
    const said = await answer.json().catch(() => ({}));
    if (answer.ok) {
      const run = link(said.dag_run_id, `${form.dataset.runs}/${encodeURIComponent(said.dag_run_id)}`, "id");
      tell("good", "Airflow has queued the run ", run, ". It begins when the runs before it have ended, unless the DAG is paused.");
    } else {
      tell("bad", `Nothing was started. ${refusal(answer.status, said.detail)} `, link("The latest runs", form.dataset.runs));
    }
  } catch {
    tell("bad", "Airflow did not answer. Before you try again, see whether the run has begun: ", link("the latest runs", form.dataset.runs));
  }
  button.disabled = false;
}

// Why Airflow refused to start a run. Its own words may have several lines, of which the first says it.
function refusal(status, detail) {
  const words = (Array.isArray(detail) ? detail.map(({ loc, msg }) => `${loc?.at(-1)}: ${msg}`).join("; ") : String(detail ?? "")).split("\n")[0];
  const known = {
    401: "Your login has expired: reload the page to log in again.",
    403: "You are not allowed to start runs of this DAG, or no longer logged in.",
    404: "Airflow does not know the DAG, or cannot read its file.",
    409: "Airflow has such a run already.",
  };
  if (status === 400 || status === 422) return `Airflow does not accept the parameters: ${words}.`;
  return known[status] ?? `Airflow failed (status ${status}). Try again in a minute.`;
}

const inUtc = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const asDay = inUtc({ day: "numeric", month: "short" });
const asDate = inUtc({ day: "numeric", month: "short", year: "numeric" });
const asHour = inUtc({ hour: "2-digit", minute: "2-digit" });
const asSecond = inUtc({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const asMoment = inUtc({ dateStyle: "medium", timeStyle: "medium" });
const asNumber = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const asShort = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const inUnits = (number, unit) => `${number} ${number === "1" ? unit.replace(/^(\w+)s\b/, "$1") : unit}`.trim();

function secondsOf(cell) {
  const time = cell.querySelector("time");
  return time ? Date.parse(time.dateTime) / 1000 : null;
}

function read(box, table = box.dataset.table) {
  const rows = [...document.getElementById(table).tBodies[0].rows];
  const points = rows.map((row, index) => {
    const time = secondsOf(row.cells[0]);
    const value = row.cells[box.dataset.column].dataset.value;
    return {
      x: time ?? index,
      y: value === undefined ? null : Number(value),
      label: time === null ? inUnits(row.cells[0].textContent, box.dataset.x) : `${asMoment.format(time * 1000)} UTC`,
      run: row.querySelector("a.id")?.href,
      until: secondsOf(row.cells[1]) ?? Date.now() / 1000,
    };
  });
  points.sort((one, other) => one.x - other.x);
  return box.dataset.kind === "steps" ? points.flatMap(period) : points;
}

// A period is drawn from its beginning to just before its end, and nothing until the next one begins.
function period(point, index, points) {
  const last = { ...point, x: Math.max(point.x, point.until - 0.001) };
  const isAdjacent = points[index + 1]?.x <= point.until;
  return isAdjacent ? [point, last] : [point, last, { ...point, x: point.until, y: null }];
}

// The first, the last, and as many in between as have room for their labels.
function spread(count, room, width) {
  const step = Math.max(1, Math.ceil((count - 1) / Math.max(1, Math.floor(width / room))));
  const chosen = [];
  for (let index = count - 1; index >= 0; index -= step) chosen.unshift(index);
  return chosen;
}

function timeLabels(splits, step) {
  const moments = splits.map((split) => new Date(split * 1000));
  const isLong = moments.at(-1)?.getUTCFullYear() !== moments[0]?.getUTCFullYear();
  const labels = moments.map((moment, index) => {
    const isNewDay = moment.getUTCDate() !== moments[index - 1]?.getUTCDate();
    if (step >= 86400 || (isNewDay && moments.at(-1) - moments[0] >= 86400000)) {
      return (isLong ? asDate : asDay).format(moment);
    }
    return (step >= 60 ? asHour : asSecond).format(moment);
  });
  return labels.map((label, index) => (label === labels[index - 1] ? "" : label));
}

function options(box, lines, data) {
  const points = lines.flat();
  const style = getComputedStyle(box);
  const [ink, second, line, muted] = [style.color, style.caretColor, style.borderTopColor, style.outlineColor];
  const bars = box.dataset.kind === "bars";
  const { unit, x } = box.dataset;
  const output = box.parentElement.querySelector("output");
  const names = points.map((point) => point.label.split(" ")[0]); // of bars, without the unit
  const room = 7 * Math.max(...names.map((name) => name.length)) + 14;
  const ofBars = {
    splits: (plot) => spread(points.length, room, plot.width - 60),
    values: (plot, splits) => splits.map((split) => names[split]),
  };
  const ofTimes = { space: 70, values: (plot, splits, axis, space, step) => timeLabels(splits, step) };
  // Counts are whole numbers, and so are the labels of their axis.
  const isCount = points.every((point) => Number.isInteger(point.y ?? 0));
  const counts = [...Array(15).keys()].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));
  const font = `12px ${style.fontFamily}`;
  const axis = { stroke: muted, font, labelFont: font, labelSize: 18, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !bars } },
    scales: {
      x: { time: !bars, range: bars ? [-0.6, points.length - 0.4] : (plot, first, last) => (plot.data[0].length === 1 ? dayAround(first) : [first, last]) },
      y: { range: (plot, low, high) => [0, high > 0 ? high * 1.1 : 1] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 26, label: bars ? x : "time (UTC)", ...(bars ? ofBars : ofTimes) },
      { ...axis, size: 46, space: 36, label: unit, incrs: isCount ? counts : undefined, values: (plot, splits) => splits.map((split) => asShort.format(split)) },
    ],
    series: [
      {},
      ...lines.map((_, index) => ({
        stroke: index ? second : ink,
        dash: index ? [6, 4] : undefined,
        width: bars ? 0 : 2,
        fill: bars ? ink : undefined,
        spanGaps: box.dataset.kind === "line", // a run without a figure is no gap
        points: { show: box.dataset.kind === "line" && points.length <= 60, size: 5, fill: ink },
        paths: bars
          ? uPlot.paths.bars({ size: [0.78, 72], radius: 0.12 })
          : box.dataset.kind === "steps" ? uPlot.paths.stepped({ align: 1 }) : uPlot.paths.linear(),
      })),
    ],
    hooks: {
      ready: [(plot) => {
        if (lines.length > 1 || !points.some((point) => point.run)) return;
        plot.over.style.cursor = "pointer";
        plot.over.addEventListener("click", () => { location.href = points[plot.cursor.idx]?.run ?? location.href; });
      }],
      setCursor: [(plot) => {
        const { idx, left } = plot.cursor;
        const values = idx == null || left < 0 ? [] : data.slice(1).map((column) => valueAt(column, idx));
        if (values.every((value) => value === null)) { output.textContent = ""; return; }
        const label = lines.length > 1 ? `${asMoment.format(data[0][idx] * 1000)} UTC` : points[idx].label;
        const told = values.map((value) => (value === null ? "–" : asNumber.format(value))).join(" and ");
        output.textContent = `${label}: ${inUnits(told, unit)}`;
      }],
    },
  };
}

const dayAround = (seconds) => [seconds - 12 * 3600, seconds + 12 * 3600];

// Where only another line has a point, this one still has its last value.
function valueAt(column, index) {
  while (index > 0 && column[index] === undefined) index -= 1;
  return column[index] ?? null;
}

const drawn = new Map();

function draw(box) {
  const lines = box.dataset.table.split(" ").map((table) => read(box, table));
  const columns = lines.map((points) => [points.map((p) => p.x), points.map((p) => p.y)]);
  const data = columns.length > 1 ? uPlot.join(columns) : columns[0];
  drawn.get(box)?.destroy();
  drawn.set(box, new uPlot(options(box, lines, data), data, box));
}

followTheme();
followTab();
window.addEventListener("storage", (event) => {
  if (event.key === "theme") followTheme();
  for (const box of drawn.keys()) draw(box);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => [...drawn.keys()].forEach(draw));
document.addEventListener("click", openOutsideFrame);
document.addEventListener("submit", (event) => { if (event.target.dataset.api) startRun(event); });
document.addEventListener("DOMContentLoaded", () => {
  document.querySelector("[autofocus]")?.focus(); // which browsers ignore in a frame
  const copy = document.querySelector(".copy");
  if (copy) {
    copy.hidden = false;
    copy.addEventListener("click", copyAddress);
  }
  // On a narrow screen rows are cards, which name the columns of their cells.
  for (const table of document.querySelectorAll("table.cards")) {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    for (const row of table.tBodies[0].rows) {
      for (const cell of row.cells) cell.dataset.label = names[cell.cellIndex];
    }
  }
  const resized = new ResizeObserver((entries) => entries.forEach((entry) => draw(entry.target)));
  document.querySelectorAll(".plot [data-table]").forEach((box) => resized.observe(box));
});
