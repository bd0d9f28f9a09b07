// Follows Airflow's light or dark theme, lets links leave Airflow's frame, and draws charts of tables.
"use strict";

const root = document.documentElement;
root.classList.add("scripted");

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

const inUtc = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const asDay = inUtc({ day: "numeric", month: "short" });
const asHour = inUtc({ hour: "2-digit", minute: "2-digit" });
const asSecond = inUtc({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const asMoment = inUtc({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const asNumber = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const asShort = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function read(box) {
  const rows = [...document.getElementById(box.dataset.table).tBodies[0].rows];
  const points = rows.map((row, index) => {
    const time = row.cells[0].querySelector("time");
    const value = row.cells[box.dataset.column].dataset.value;
    return {
      x: time ? Date.parse(time.dateTime) / 1000 : index,
      y: value === undefined ? null : Number(value),
      label: time ? `${asMoment.format(Date.parse(time.dateTime))} UTC` : row.cells[0].textContent,
    };
  });
  points.sort((one, other) => one.x - other.x);
  if (box.dataset.kind === "steps") points.push({ ...points.at(-1), x: Date.now() / 1000, label: "now" });
  return points;
}

function options(box, points) {
  const style = getComputedStyle(box);
  const [ink, line, muted] = [style.color, style.borderTopColor, style.outlineColor];
  const bars = box.dataset.kind === "bars";
  const unit = box.dataset.unit && ` ${box.dataset.unit}`;
  const output = box.parentElement.querySelector("output");
  const xLabels = (plot, splits, axis, space, step) =>
    splits.map((split) => {
      if (bars) return points[split] ? points[split].label : "";
      return (step >= 86400 ? asDay : step >= 60 ? asHour : asSecond).format(split * 1000);
    });
  // Counts are whole numbers, and so are the labels of their axis.
  const isCount = points.every((point) => Number.isInteger(point.y ?? 0));
  const counts = [...Array(15).keys()].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));
  const axis = { stroke: muted, font: `12px ${style.fontFamily}`, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !bars } },
    scales: {
      x: { time: !bars, range: bars ? [-0.6, points.length - 0.4] : undefined },
      y: { range: (plot, low, high) => [0, high > 0 ? high * 1.1 : 1] },
    },
    axes: [
      { ...axis, grid: { show: false }, values: xLabels, size: 26, space: bars ? 40 : 70, incrs: bars ? [1, 2, 5, 10] : undefined },
      { ...axis, size: 46, space: 36, incrs: isCount ? counts : undefined, values: (plot, splits) => splits.map((split) => asShort.format(split)) },
    ],
    series: [
      {},
      {
        stroke: ink,
        width: bars ? 0 : 2,
        fill: bars ? ink : undefined,
        points: { show: !bars && points.length < 40, size: 5, fill: ink },
        paths: bars
          ? uPlot.paths.bars({ size: [0.78, 72], radius: 0.12 })
          : box.dataset.kind === "steps" ? uPlot.paths.stepped({ align: 1 }) : uPlot.paths.linear(),
      },
    ],
    hooks: {
      setCursor: [(plot) => {
        const point = points[plot.cursor.idx];
        const known = point && plot.cursor.left >= 0 && point.y !== null;
        output.textContent = known ? `${point.label}: ${asNumber.format(point.y)}${unit}` : "";
      }],
    },
  };
}

const drawn = new Map();

function draw(box) {
  const points = read(box);
  drawn.get(box)?.destroy();
  drawn.set(box, new uPlot(options(box, points), [points.map((p) => p.x), points.map((p) => p.y)], box));
}

followTheme();
window.addEventListener("storage", (event) => {
  if (event.key === "theme") followTheme();
  for (const box of drawn.keys()) draw(box);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => [...drawn.keys()].forEach(draw));
document.addEventListener("click", openOutsideFrame);
document.addEventListener("DOMContentLoaded", () => {
  const resized = new ResizeObserver((entries) => entries.forEach((entry) => draw(entry.target)));
  document.querySelectorAll(".plot [data-table]").forEach((box) => resized.observe(box));
});
