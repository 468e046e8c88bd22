"use strict";

// The table of units: only the rows of one page exist at a time, so that it stays quick with any number of units.
(() => {
  const ROWS = 25;
  const data = JSON.parse(document.getElementById("unit-data").textContent);
  const search = document.getElementById("unit-search");
  const show = document.getElementById("unit-show");
  const count = document.getElementById("unit-count");
  const holder = document.getElementById("unit-table");
  const total = data.unit.length;
  const order = { column: 0, down: false };
  let found = [];
  let page = 0;

  const number = (value) => (value === null || value === undefined ? NaN : Number(value));
  const written = (value) => {
    if (value === null || value === undefined) return "–";
    const n = Number(value);
    if (Number.isNaN(n)) return "NaN";
    if (!Number.isFinite(n)) return n > 0 ? "∞" : "−∞";
    const short = Number(n.toPrecision(4));
    return (n !== 0 && Math.abs(n) < 1e-4 ? short.toExponential() : String(short)).replace(/^-/, "−");
  };
  const reason = (row) => data.reasons[data.reason[row]];
  const isGone = (row) => data.reason[row] >= 0;
  const whole = (value) => (value === null ? "–" : value.toLocaleString("en"));

  const columns = [
    { name: "Site", key: (row) => data.site[row], text: (row) => data.sites[data.site[row]] },
    { name: "Unit", key: (row) => data.unit[row], text: (row) => whole(data.unit[row]), numeric: true },
    { name: "Now", key: (row) => number(data.now[row]), text: (row) => (isGone(row) ? "removed" : "→ " + whole(data.now[row])), numeric: true },
    { name: "Score", key: (row) => number(data.score[row]), text: (row) => written(data.score[row]), numeric: true },
    { name: "Rank", key: (row) => number(data.rank[row]), text: (row) => whole(data.rank[row]), numeric: true },
    { name: "Threshold", key: (row) => number(isGone(row) ? reason(row)[1] : null), text: (row) => (isGone(row) ? written(reason(row)[1]) : "–"), numeric: true },
    { name: "Round", key: (row) => (isGone(row) ? reason(row)[0] : NaN), text: (row) => (isGone(row) ? String(reason(row)[0]) : "–"), numeric: true },
    { name: "Taken over by", key: (row) => data.reason[row], text: null, list: (row) => (isGone(row) ? reason(row)[3].split(", ") : []), most: 3, of: "layers" },
    { name: "Went with", key: (row) => (isGone(row) ? reason(row)[2].length : NaN), text: null, list: (row) => (isGone(row) ? reason(row)[2] : []), most: 1, of: "tensors" },
  ];

  const make = (name, text, properties = {}) => Object.assign(document.createElement(name), { textContent: text }, properties);

  // Smaller first; what is not a number always comes last. Ties keep the order of the data.
  function compare(a, b) {
    const key = columns[order.column].key;
    const x = key(a);
    const y = key(b);
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
    return (x === y ? 0 : x < y === order.down ? 1 : -1) || a - b;
  }

  // What the search looks through, in two parts: each site's name, and what the units of one edit have in common.
  const names = data.sites.map((name) => name.toLowerCase());
  const common = data.reasons.map((why) => `round:${why[0]}; ${why[3]} ${why[2].join(" ")}`.toLowerCase());

  function matches(row, terms) {
    return terms.every((term) => {
      if (/^\d+$/.test(term)) return data.unit[row] === Number(term) || names[data.site[row]].includes(term);
      return names[data.site[row]].includes(term) || (isGone(row) && common[data.reason[row]].includes(term));
    });
  }

  function refresh() {
    const terms = search.value.toLowerCase().replace(/round\s+(\d+)/g, "round:$1;").split(/\s+/).filter(Boolean);
    found = [];
    for (let row = 0; row < total; row += 1) {
      if ((show.value === "all" || (show.value === "gone") === isGone(row)) && matches(row, terms)) found.push(row);
    }
    found.sort(compare);
    page = 0;
    draw();
  }

  // A few names as they are, more of them folded away behind their number.
  function listed(row, column) {
    const cell = make("td", "");
    const names = column.list(row);
    if (names.length <= column.most) {
      cell.textContent = names.join(", ") || "–";
    } else {
      const more = document.createElement("details");
      more.append(make("summary", `${names.length} ${column.of}`), make("span", names.join(", ")));
      cell.append(more);
    }
    return cell;
  }

  function line(row) {
    const tr = make("tr", "", { className: isGone(row) ? "gone" : "kept" });
    for (const column of columns) {
      if (!column.text) tr.append(listed(row, column));
      else if (column === columns[0]) tr.append(make("th", column.text(row), { scope: "row" }));
      else tr.append(make("td", column.text(row), { className: column.numeric ? "number" : "" }));
    }
    return tr;
  }

  const body = document.createElement("tbody");
  const heads = columns.map((column, index) => {
    const head = make("th", "", { scope: "col", className: column.numeric ? "number" : "" });
    const button = make("button", column.name, { type: "button" });
    button.addEventListener("click", () => {
      order.down = order.column === index && !order.down;
      order.column = index;
      refresh();
    });
    head.append(button);
    return head;
  });
  const back = make("button", "Previous", { type: "button", onclick: () => turn(-1) });
  const forward = make("button", "Next", { type: "button", onclick: () => turn(1) });
  const place = make("span", "");

  function turn(by) {
    page += by;
    draw();
  }

  function draw() {
    const last = Math.max(0, Math.ceil(found.length / ROWS) - 1);
    body.replaceChildren(...found.slice(page * ROWS, (page + 1) * ROWS).map(line));
    heads.forEach((head, index) => {
      if (index === order.column) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    count.textContent = found.length === 1 ? "1 unit" : `${whole(found.length)} units`;
    place.textContent = `page ${whole(page + 1)} of ${whole(last + 1)}`;
    back.disabled = page === 0;
    forward.disabled = page >= last;
  }

  function build() {
    const table = document.createElement("table");
    const head = document.createElement("thead");
    const row = document.createElement("tr");
    row.append(...heads);
    head.append(row);
    table.append(make("caption", "Every unit and what became of it"), head, body);
    const scroll = make("div", "", { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Every unit and what became of it");
    scroll.append(table);
    const pager = make("div", "", { className: "pager" });
    pager.append(back, place, forward);
    holder.append(scroll, pager);
  }

  build();
  refresh();
  search.addEventListener("input", refresh);
  show.addEventListener("change", refresh);
})();

// One tooltip for everything that carries `data-tip`.
(() => {
  const tip = document.getElementById("tip");
  const hide = () => (tip.hidden = true);
  document.addEventListener("pointerover", (event) => {
    const owner = event.target.closest("[data-tip]");
    if (!owner) return hide();
    tip.textContent = owner.dataset.tip;
    tip.hidden = false;
    const box = owner.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 8 ? above : box.bottom + 8}px`;
  });
  document.addEventListener("scroll", hide, true);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
})();

// Paper shows the rounds that the screen folds away.
window.addEventListener("beforeprint", () => document.querySelectorAll("details.round").forEach((part) => (part.open = true)));
