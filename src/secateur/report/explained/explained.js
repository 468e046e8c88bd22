"use strict";

(() => {
  const about = JSON.parse(document.getElementById("explained").textContent);
  const GROUPS = ["Lowest outputs", "Just below the gap", "Just above the gap", "Highest outputs"];
  const COLUMNS = 12; // of a table's rows that are shown at first, where there are many
  const MANY = 16;
  const unpacked = new Map();
  const read = new Map();

  // --- data, unpacked when it is looked at -------------------------------------------------------------------------

  async function inflate(letters) {
    const bytes = Uint8Array.from(atob(letters), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function bytesOf(name) {
    if (!unpacked.has(name)) unpacked.set(name, inflate(document.getElementById(`pack-${name}`).textContent));
    return unpacked.get(name);
  }

  function dataOf(name) {
    if (!read.has(name)) read.set(name, bytesOf(name).then((bytes) => JSON.parse(new TextDecoder().decode(bytes))));
    return read.get(name);
  }

  const placeOf = new Map(about.examples.map((number, place) => [number, place]));

  async function exampleOf(number) {
    const place = placeOf.get(number);
    const piece = Math.floor(place / about.together);
    const some = await dataOf(`examples-${piece}`);
    const example = some[place % about.together];
    if (example.picture) {
      const size = ({ picture }) => (picture ? picture[0] * picture[1] * picture[2] : 0);
      const start = some.slice(0, place % about.together).reduce((sum, one) => sum + size(one), 0);
      example.pixels = (await bytesOf(`pictures-${piece}`)).slice(start, start + size(example));
    }
    return example;
  }

  // --- drawing -------------------------------------------------------------------------------------------------------

  function svg(name, attributes = {}, ...content) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...content);
    return element;
  }

  function holding(name, className, ...content) {
    const element = make(name, "", className ? { className } : {});
    element.append(...content);
    return element;
  }

  // Bars of how many values lie where; those above the largest gap have a colour of their own.
  function histogram({ counts, ends, gap }, label, { width = 360, height = 120, axis = true, things = "examples" } = {}) {
    const base = axis ? height - 18 : height - 1;
    const step = width / counts.length;
    const span = ends[1] - ends[0];
    const at = (value) => (span > 0 ? ((value - ends[0]) / span) * width : width / 2);
    const middle = gap ? (gap[0] + gap[1]) / 2 : Infinity;
    const tallest = Math.max(...counts);
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    if (gap) picture.append(svg("rect", { x: at(gap[0]), y: 0, width: Math.max(at(gap[1]) - at(gap[0]), 1), height: base, class: "gap" }));
    counts.forEach((count, index) => {
      if (!count) return;
      const low = ends[0] + (span * index) / counts.length;
      const high = ends[0] + (span * (index + 1)) / counts.length;
      const tall = Math.max(2, ((base - 6) * count) / tallest);
      const kind = (low + high) / 2 > middle ? "gone" : "kept";
      picture.append(svg("rect", { x: index * step + 0.5, y: base - tall, width: Math.max(step - 1, 0.5), height: tall, class: kind }));
      const tip = `${written(low)} to ${written(high)}: ${whole(count)} ${things}`;
      if (axis) picture.append(svg("rect", { x: index * step, y: 0, width: step, height: base, class: "hit", "data-tip": tip }));
    });
    picture.append(svg("line", { x1: 0, x2: width, y1: base, y2: base, class: "axis" }));
    if (axis) {
      picture.append(svg("text", { x: 0, y: height - 4 }, written(ends[0])));
      picture.append(svg("text", { x: width, y: height - 4, "text-anchor": "end" }, written(ends[1])));
    }
    return picture;
  }

  // The longest bars of the barcode, the longest one on top.
  function barcode(bars, label, { width = 360, height = 120, axis = true } = {}) {
    const base = axis ? height - 18 : height - 1;
    const longest = bars[0] || 0;
    const step = Math.min(base / Math.max(bars.length, 1), 8);
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    bars.forEach((bar, index) => {
      const long = longest > 0 ? (bar / longest) * width : 0;
      const kind = index === 0 && longest > 0 ? "longest" : "kept";
      picture.append(svg("rect", { x: 0, y: index * step, width: Math.max(long, 1), height: Math.max(step * 0.6, 1), class: kind }));
      if (axis) picture.append(svg("rect", { x: 0, y: index * step, width, height: step, class: "hit", "data-tip": `merged at ${written(bar)}` }));
    });
    picture.append(svg("line", { x1: 0, x2: width, y1: base, y2: base, class: "axis" }));
    if (axis) {
      picture.append(svg("text", { x: 0, y: height - 4 }, "0"));
      picture.append(svg("text", { x: width, y: height - 4, "text-anchor": "end" }, written(longest)));
    }
    return picture;
  }

  function canvas(height, width, label, colourOf) {
    const element = make("canvas", "", { height, width });
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", label);
    const pen = element.getContext("2d");
    const image = pen.createImageData(width, height);
    for (let place = 0; place < height * width; place += 1) {
      image.data.set(colourOf(place), 4 * place);
      image.data[4 * place + 3] = 255;
    }
    pen.putImageData(image, 0, 0);
    return element;
  }

  // Each pixel is kept as what it differs by from its left neighbour.
  function picture({ picture: [height, width, channels], pixels }, label) {
    const last = new Uint8Array(channels);
    return canvas(height, width, label, (place) => {
      if (place % width === 0) last.fill(0);
      for (let channel = 0; channel < channels; channel += 1) last[channel] += pixels[place * channels + channel];
      return channels === 1 ? [last[0], last[0], last[0]] : last;
    });
  }

  const LIGHTS = [[13, 18, 43], [32, 85, 130], [74, 160, 180], [190, 220, 190], [255, 246, 214]];

  function mapped(bytes, start, [height, width], label) {
    return canvas(height, width, label, (place) => {
      const share = (bytes[start + place] / 255) * (LIGHTS.length - 1);
      const low = Math.min(Math.floor(share), LIGHTS.length - 2);
      return LIGHTS[low].map((from, index) => from + (LIGHTS[low + 1][index] - from) * (share - low));
    });
  }

  // --- one unit --------------------------------------------------------------------------------------------------------

  const sitePanel = document.getElementById("site-panel");
  const unitPanel = document.getElementById("unit-panel");
  const choice = document.getElementById("site-choice");
  let current = { site: -1, unit: -1 };

  const chart = (title, note, drawing) => holding("figure", "chart", holding("figcaption", "", make("span", title, { className: "title" }), make("span", note, { className: "note" })), drawing);

  function charts(outputs, name) {
    const { gap, bars, merges, ends } = outputs;
    const width = gap ? gap[1] - gap[0] : 0;
    const noted = gap ? `largest gap ${written(width)}, from ${written(gap[0])} to ${written(gap[1])}` : "all outputs are equal: there is no gap";
    const some = bars.length < merges ? `the ${bars.length} longest of ${whole(merges)} bars` : merges === 1 ? "1 bar" : `${whole(merges)} bars`;
    return holding(
      "div",
      "charts",
      chart("Outputs", noted, histogram(outputs, `Histogram of the outputs of ${name}, from ${written(ends[0])} to ${written(ends[1])}; ${noted}`)),
      chart("Persistence barcode", some, barcode(bars, `Barcode of ${name}: ${some}, the longest ${written(bars[0] || 0)}`)),
    );
  }

  const labelled = (example) => (example.label === null ? [] : [make("span", example.label, { className: "badge plain" })]);

  function told(example, number, value, outputs, maps) {
    const head = holding("p", "value", make("strong", written(value)), ...labelled(example), make("span", `example ${whole(number)}`, { className: "note" }));
    if (example.text) return holding("li", "", head, ...example.text.map((part) => make("p", part)));
    const sights = holding("div", "sights", picture(example, `Example ${number}`));
    if (outputs.maps && outputs.maps.at[number] !== undefined) {
      sights.append(mapped(maps, outputs.maps.at[number], outputs.maps.size, `The unit's map of example ${number}`));
    }
    return holding("li", "", sights, head);
  }

  async function group(title, pairs, outputs, maps) {
    const some = await Promise.all(pairs.map(async ([number, value]) => told(await exampleOf(number), number, value, outputs, maps)));
    const none = make("p", "None: all outputs are equal.", { className: "missing" });
    return holding("div", "group", make("h4", title), some.length ? holding("ul", "", ...some) : none);
  }

  // Rows of a table stand side by side; first come the columns in which the two ends differ most.
  async function rowsTable(outputs) {
    const columns = [];
    for (const [index, pairs] of outputs.groups.entries()) {
      for (const [number, value] of pairs) columns.push({ index, number, value, example: await exampleOf(number) });
    }
    const names = columns[0].example.row.map(([name]) => name);
    const differing = (place) => {
      const values = columns.map((column) => Number(column.example.row[place][1]));
      if (values.some(Number.isNaN)) return 0;
      const mean = (side) => side.reduce((sum, at) => sum + values[at], 0) / Math.max(side.length, 1);
      const sides = [0, 1].map((high) => [...columns.keys()].filter((at) => columns[at].index >= 2 === Boolean(high)));
      const spread = Math.max(...values) - Math.min(...values);
      return spread > 0 ? Math.abs(mean(sides[1]) - mean(sides[0])) / spread : 0;
    };
    const weight = names.map((_, place) => differing(place));
    const order = [...names.keys()].sort((a, b) => weight[b] - weight[a] || a - b);
    const line = (place) => {
      const tr = holding("tr", "", make("th", names[place], { scope: "row" }));
      for (const { example } of columns) {
        const value = example.row[place][1];
        tr.append(make("td", typeof value === "number" ? String(Number(value.toPrecision(8))).replace(/^-/, "−") : value, { className: typeof value === "number" ? "number" : "" }));
      }
      return tr;
    };
    return { columns, order, line };
  }

  async function rows(outputs, name) {
    const { columns, order, line } = await rowsTable(outputs);
    const table = document.createElement("table");
    const groups = holding("tr", "", make("th", "", { scope: "col" }));
    outputs.groups.forEach((pairs, index) => {
      if (pairs.length) groups.append(make("th", GROUPS[index], { scope: "colgroup", colSpan: pairs.length, className: "group" }));
    });
    const heads = holding("tr", "", make("th", "output", { scope: "col" }));
    for (const { value, example } of columns) heads.append(holding("th", "number", make("span", written(value)), ...labelled(example)));
    heads.querySelectorAll("th").forEach((head) => (head.scope = "col"));
    const body = holding("tbody", "", ...(order.length > MANY ? order.slice(0, COLUMNS) : order).map(line));
    const caption = `Examples of ${name}`;
    table.append(make("caption", caption), holding("thead", "", groups, heads), body);
    const scroll = holding("div", "scroll examples", table);
    Object.entries({ role: "region", "aria-label": caption, tabindex: "0" }).forEach(([key, value]) => scroll.setAttribute(key, value));
    if (order.length <= MANY) return scroll;
    const more = make("button", `Show all ${whole(order.length)} columns`, { type: "button" });
    more.addEventListener("click", () => {
      body.append(...order.slice(COLUMNS).map(line));
      more.remove();
    });
    return holding("div", "", scroll, more);
  }

  async function examples(outputs, maps, name) {
    const first = await exampleOf(outputs.groups[0][0][0]);
    if (first.row) return rows(outputs, name);
    const groups = await Promise.all(GROUPS.map((title, index) => group(title, outputs.groups[index], outputs, maps)));
    return holding("div", "groups", ...groups);
  }

  async function showUnit(number, unit, { isAsked = true } = {}) {
    await showSite(number);
    const site = about.sites[number];
    current = { site: number, unit };
    const [story, maps] = await Promise.all([dataOf(`site-${number}`), bytesOf(`maps-${number}`)]);
    const makers = story.units[unit];
    const name = `${site.name}, unit ${whole(unit)}`;
    const row = starts[number] + unit;
    const rank = `score ${written(scores[row])}, rank ${whole(ranks[row])} (the highest is ${whole(site.units - 1)})`;
    const content = holding("div", "");
    const draw = async (outputs) => {
      const drawn = [charts(outputs, name), await examples(outputs, maps, name)];
      if (current.site === number && current.unit === unit) content.replaceChildren(...drawn);
    };
    const head = holding("div", "head", make("h3", name), make("span", rank, { className: "note" }));
    if (makers.length > 1) head.append(makersOf(makers, draw));
    await draw(makers[0]);
    if (current.site !== number || current.unit !== unit) return;
    unitPanel.replaceChildren(head, content);
    sitePanel.querySelectorAll("[data-unit]").forEach((card) => card.setAttribute("aria-pressed", String(Number(card.dataset.unit) === unit)));
    if (isAsked) unitPanel.scrollIntoView({ block: "nearest" });
    if (isAsked) unitPanel.focus({ preventScroll: true });
  }

  // Several layers may make a unit together.
  function makersOf(makers, draw) {
    const select = holding("select", "", ...makers.map(({ layer }, index) => make("option", layer, { value: String(index) })));
    select.addEventListener("change", () => draw(makers[Number(select.value)]));
    return holding("label", "makers", `Made by ${makers.length} layers; shown is `, select);
  }

  // --- one site -------------------------------------------------------------------------------------------------------

  function card(number, unit, [outputs]) {
    const score = written(scores[starts[number] + unit]);
    const button = make("button", "", { type: "button", className: "unit" });
    button.dataset.unit = unit;
    const drawn = { width: 150, height: 44, axis: false };
    const text = `unit ${unit} of ${about.sites[number].name}`;
    button.append(
      holding("span", "name", make("strong", `unit ${whole(unit)}`), make("span", score, { className: "note" })),
      histogram(outputs, `outputs of ${text}`, drawn),
      barcode(outputs.bars.slice(0, 12), `barcode of ${text}`, drawn),
    );
    button.addEventListener("click", () => showUnit(number, unit));
    return button;
  }

  // The scores of a site on their own scale.
  function ownScores(number) {
    const finite = [...scores.subarray(starts[number], starts[number] + about.sites[number].units)].filter(Number.isFinite);
    if (!finite.length) return make("p", "No score is finite.", { className: "missing" });
    const [low, high] = finite.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    const bins = low < high ? Math.min(36, Math.max(8, Math.floor(Math.sqrt(4 * finite.length)))) : 1;
    const counts = new Array(bins).fill(0);
    for (const value of finite) counts[low < high ? Math.min(bins - 1, Math.floor(((value - low) / (high - low)) * bins)) : 0] += 1;
    const label = `Histogram of the scores of ${about.sites[number].name}`;
    return chart("Scores of the site, on their own scale", "", histogram({ counts, ends: [low, high], gap: null }, label, { width: 360, height: 96, things: "units" }));
  }

  async function showSite(number) {
    await ready;
    if (current.site === number) return;
    current = { site: number, unit: -1 };
    choice.value = String(number);
    unitPanel.replaceChildren();
    const site = about.sites[number];
    if (!site.most.length) {
      sitePanel.replaceChildren(ownScores(number), make("p", `${site.name}: ${site.remark}, so only its scores are shown.`, { className: "missing" }));
      return;
    }
    const story = await dataOf(`site-${number}`);
    if (current.site !== number) return;
    const lists = [["Most important", site.most], ["Least important", site.least]].map(([title, numbers]) =>
      holding("div", "ends", make("h3", title), holding("div", "units", ...numbers.map((unit) => card(number, unit, story.units[unit])))),
    );
    const remark = site.remark ? [make("p", `${site.name}: ${site.remark}, so it means nothing which are shown.`, { className: "missing" })] : [];
    sitePanel.replaceChildren(ownScores(number), ...remark, ...lists.slice(0, site.least.length ? 2 : 1));
  }

  async function openSite(number, { isAsked = true } = {}) {
    await showSite(number);
    const [first] = about.sites[number].most;
    if (first !== undefined) await showUnit(number, first, { isAsked: false });
    if (isAsked) document.getElementById("site").scrollIntoView();
  }

  // --- every unit ------------------------------------------------------------------------------------------------------

  const starts = [];
  let total = 0;
  for (const site of about.sites) {
    starts.push(total);
    total += site.units;
  }
  const siteOf = new Uint32Array(total);
  about.sites.forEach((site, index) => siteOf.fill(index, starts[index], starts[index] + site.units));
  const isShown = new Uint8Array(total);
  about.sites.forEach((site, index) => [...site.most, ...site.least].forEach((unit) => (isShown[starts[index] + unit] = 1)));
  let scores = new Float32Array(total);
  let ranks = new Uint32Array(total);

  const ready = (async () => {
    const bytes = await bytesOf("scores");
    scores = new Float32Array(bytes.buffer.slice(0, 4 * total));
    ranks = new Uint32Array(bytes.buffer.slice(4 * total, 8 * total));
  })();

  const unitOf = (row) => row - starts[siteOf[row]];
  const below = (row) => (about.sites[siteOf[row]].units > 1 ? ranks[row] / (about.sites[siteOf[row]].units - 1) : 1);

  function opener(row) {
    const cell = make("td", "");
    if (!isShown[row]) return cell;
    const button = make("button", "Open", { type: "button", className: "link" });
    button.setAttribute("aria-label", `Open unit ${unitOf(row)} of ${about.sites[siteOf[row]].name}`);
    button.addEventListener("click", () => showUnit(siteOf[row], unitOf(row)));
    cell.append(button);
    return cell;
  }

  function everyUnit() {
    const names = about.sites.map(({ name }) => name.toLowerCase());
    pagedTable({
      holder: document.getElementById("unit-table"),
      search: document.getElementById("unit-search"),
      show: document.getElementById("unit-show"),
      count: document.getElementById("unit-count"),
      caption: "Every unit and its score",
      things: ["unit", "units"],
      columns: [
        { name: "Site", key: (row) => siteOf[row], text: (row) => about.sites[siteOf[row]].name },
        { name: "Unit", key: unitOf, text: (row) => whole(unitOf(row)), numeric: true },
        { name: "Score", key: (row) => scores[row], text: (row) => written(scores[row]), numeric: true },
        { name: "Rank", key: (row) => ranks[row], text: (row) => whole(ranks[row]), numeric: true },
        { name: "Of its site below", key: below, text: (row) => `${Math.round(100 * below(row))} %`, numeric: true },
        { name: "Outputs", key: (row) => 1 - isShown[row], cell: opener },
      ],
      total,
      look: () => "",
      passes: (text, shown) => {
        const terms = text.split(/\s+/).filter(Boolean);
        const named = terms.map((term) => names.map((name) => name.includes(term)));
        const numbers = terms.map((term) => (/^\d+$/.test(term) ? Number(term) : -1));
        return (row) =>
          (shown === "all" || isShown[row] === 1) &&
          terms.every((_, index) => named[index][siteOf[row]] || unitOf(row) === numbers[index]);
      },
    });
  }

  choice.addEventListener("change", () => openSite(Number(choice.value), { isAsked: false }));
  document.querySelectorAll("[data-site]").forEach((button) => button.addEventListener("click", () => openSite(Number(button.dataset.site))));

  if (typeof DecompressionStream === "undefined") {
    sitePanel.append(make("p", "This browser is too old to unpack the page's data; open it in a newer one.", { className: "missing" }));
  } else {
    ready.then(() => {
      everyUnit();
      const first = about.sites.findIndex(({ most }) => most.length);
      return openSite(Math.max(first, 0), { isAsked: false });
    });
  }
})();
