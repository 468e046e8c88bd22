"use strict";

// A file that the page itself hands out.
function save(name, blob) {
  const link = make("a", "", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// The marks of the plots: a click, Enter or an arrow key chooses a combination, whose figures are shown below.
(() => {
  const marks = [...document.querySelectorAll("[data-one]")];
  const panels = [...document.querySelectorAll(".one")];

  function choose(number, leap) {
    for (const panel of panels) panel.hidden = panel.id !== `one-${number}`;
    for (const mark of marks) if (mark.matches(".point")) mark.setAttribute("aria-pressed", String(mark.dataset.one === number));
    const title = document.querySelector(`#one-${number} h3`);
    if (!leap || !title) return;
    title.focus({ preventScroll: true });
    title.closest(".one").scrollIntoView({ block: "nearest" });
  }

  // One stop for each plot; from there, arrows go from left to right.
  for (const plot of document.querySelectorAll(".scatter svg")) {
    const points = [...plot.querySelectorAll(".point")];
    const place = (point) => point.querySelector(".hit").cx.baseVal.value;
    points.sort((a, b) => place(a) - place(b));
    const reach = (point) => {
      points.forEach((one) => one.setAttribute("tabindex", one === point ? "0" : "-1"));
      point.focus();
      choose(point.dataset.one, false);
    };
    if (points.length) points.forEach((one, index) => one.setAttribute("tabindex", index === 0 ? "0" : "-1"));
    plot.addEventListener("keydown", (event) => {
      const at = points.indexOf(event.target.closest(".point"));
      if (at < 0) return;
      const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: points.length - 1 }[event.key];
      if (to !== undefined) reach(points[Math.min(points.length - 1, Math.max(0, to))]);
      else if (event.key === "Enter" || event.key === " ") choose(points[at].dataset.one, true);
      else return;
      event.preventDefault();
    });
  }

  for (const mark of marks) mark.addEventListener("click", () => choose(mark.dataset.one, !mark.matches(".point")));
  const first = marks.find((mark) => mark.matches(".point"));
  if (panels.length) choose(first && document.querySelector(".point .best") ? document.querySelector(".point .best").parentNode.dataset.one : panels[0].id.slice(4), false);
})();

// Every cell, to be searched and sorted.
(() => {
  const { qualities, rows } = JSON.parse(document.getElementById("cells-data").textContent);
  const said = rows.map((row) => row.filter((cell) => typeof cell === "string").join(" ").toLowerCase());
  const share = (value) => (value === null ? "–" : `${(100 * value).toFixed(1)}\u202f%`);
  const plain = (value) => (value === null ? "–" : String(value));
  const point = (value) => (value === null ? "–" : value.toFixed(2));
  const order = (at) => {
    const known = [...new Set(rows.map((row) => row[at]))].sort();
    return (row) => known.indexOf(rows[row][at]);
  };
  const number = (at) => (row) => (rows[row][at] === null ? NaN : rows[row][at]);
  const text = (name, at) => ({ name, key: order(at), text: (row) => plain(rows[row][at]) });
  const figure = (name, at, show) => ({ name, key: number(at), text: (row) => show(rows[row][at]), numeric: true });
  const after = 5 + qualities.length;
  pagedTable({
    holder: document.getElementById("cell-table"),
    search: document.getElementById("cell-search"),
    show: document.getElementById("cell-show"),
    count: document.getElementById("cell-count"),
    caption: "Every cell",
    things: ["cell", "cells"],
    columns: [
      text("Method", 1),
      text("Budget", 0),
      text("Compensation", 2),
      figure("Epochs", 3, plain),
      figure("Seed", 4, plain),
      ...qualities.map((name, place) => figure(name, 5 + place, point)),
      figure("MACs", after, share),
      figure("Parameters", after + 1, share),
      figure("Latency", after + 2, share),
      ...(rows.some((row) => row[after + 3]) ? [text("Reason", after + 3)] : []),
    ],
    total: rows.length,
    look: (row) => (rows[row][after + 3] ? "failed" : ""),
    passes: (written, shown) => {
      const terms = written.split(/\s+/).filter(Boolean);
      return (row) => (shown === "all" || (shown === "failed") === Boolean(rows[row][after + 3])) && terms.every((term) => said[row].includes(term));
    },
  });
  const { text: sheet } = JSON.parse(document.getElementById("sheet").textContent);
  document.getElementById("save-csv").addEventListener("click", () => save("comparison.csv", new Blob([sheet], { type: "text/csv" })));
})();

// A plot as a picture: its styles written into a copy of it, which is drawn on a canvas.
(() => {
  const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "font-size", "font-family", "font-weight"];
  const SCALE = 3;

  function drawn(plot) {
    const copy = plot.cloneNode(true);
    const theirs = copy.querySelectorAll("*");
    plot.querySelectorAll("*").forEach((mine, index) => {
      const found = getComputedStyle(mine);
      theirs[index].setAttribute("style", STYLES.map((name) => `${name}:${found.getPropertyValue(name)}`).join(";"));
    });
    const { width, height } = plot.viewBox.baseVal;
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", width * SCALE);
    copy.setAttribute("height", height * SCALE);
    return { text: new XMLSerializer().serializeToString(copy), width: width * SCALE, height: height * SCALE };
  }

  async function paint(plot, name) {
    const { text, width, height } = drawn(plot);
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(plot.closest("section")).backgroundColor;
    context.fillRect(0, 0, width, height);
    context.drawImage(image, 0, 0);
    canvas.toBlob((blob) => save(`${name}.png`, blob));
  }

  for (const button of document.querySelectorAll(".save")) {
    button.addEventListener("click", () => paint(button.closest("figure").querySelector("svg"), button.dataset.name));
  }
})();
