"use strict";

// A table of which only the rows of one page exist at a time, so that it stays quick with any number of rows.
//
// A column has a name, a key (a number) by which rows are compared, and a text, or a cell that it makes itself; `caption` names
// the table, `things` what a row is called (one, many), `look` makes a row's class, `passes` says whether a row is found.
function pagedTable({ holder, search, show, count, caption, things, columns, total, look, passes }) {
  const ROWS = 25;
  const order = { column: 0, down: false };
  const keys = new Float64Array(total);
  let found = [];
  let page = 0;

  // Smaller first; what is not a number always comes last. Ties keep the order of the data.
  function compare(a, b) {
    const x = keys[a];
    const y = keys[b];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
    return (x === y ? 0 : x < y === order.down ? 1 : -1) || a - b;
  }

  function refresh() {
    const passing = passes(search.value.toLowerCase(), show.value);
    found = [];
    for (let row = 0; row < total; row += 1) if (passing(row)) found.push(row);
    const { key } = columns[order.column];
    for (const row of found) keys[row] = key(row);
    found.sort(compare);
    page = 0;
    draw();
  }

  function line(row) {
    const tr = make("tr", "", { className: look(row) });
    for (const column of columns) {
      if (column.cell) tr.append(column.cell(row));
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
    count.textContent = found.length === 1 ? `1 ${things[0]}` : `${whole(found.length)} ${things[1]}`;
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
    table.append(make("caption", caption), head, body);
    const scroll = make("div", "", { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", caption);
    scroll.append(table);
    const pager = make("div", "", { className: "pager" });
    pager.append(back, place, forward);
    holder.append(scroll, pager);
  }

  build();
  refresh();
  search.addEventListener("input", refresh);
  show.addEventListener("change", refresh);
}

const make = (name, text, properties = {}) => Object.assign(document.createElement(name), { textContent: text }, properties);

const whole = (value) => (value === null ? "–" : value.toLocaleString("en"));

// Four significant digits, whatever the size.
function written(value) {
  if (value === null || value === undefined) return "–";
  const n = Number(value);
  if (Number.isNaN(n)) return "NaN";
  if (!Number.isFinite(n)) return n > 0 ? "∞" : "−∞";
  const short = Number(n.toPrecision(4));
  return (n !== 0 && Math.abs(n) < 1e-4 ? short.toExponential() : String(short)).replace(/^-/, "−");
}
