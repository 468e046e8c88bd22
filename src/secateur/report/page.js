"use strict";

// The table of every unit and what became of it.
(() => {
  const data = JSON.parse(document.getElementById("unit-data").textContent);
  const number = (value) => (value === null || value === undefined ? NaN : Number(value));
  const reason = (row) => data.reasons[data.reason[row]];
  const isGone = (row) => data.reason[row] >= 0;

  // A few names as they are, more of them folded away behind their number.
  const listed = (names, most, things) => {
    const cell = make("td", "");
    if (names.length <= most) {
      cell.textContent = names.join(", ") || "–";
    } else {
      const more = document.createElement("details");
      more.append(make("summary", `${names.length} ${things}`), make("span", names.join(", ")));
      cell.append(more);
    }
    return cell;
  };

  const columns = [
    { name: "Site", key: (row) => data.site[row], text: (row) => data.sites[data.site[row]] },
    { name: "Unit", key: (row) => data.unit[row], text: (row) => whole(data.unit[row]), numeric: true },
    { name: "Now", key: (row) => number(data.now[row]), text: (row) => (isGone(row) ? "removed" : "→ " + whole(data.now[row])), numeric: true },
    { name: "Score", key: (row) => number(data.score[row]), text: (row) => written(data.score[row]), numeric: true },
    { name: "Rank", key: (row) => number(data.rank[row]), text: (row) => whole(data.rank[row]), numeric: true },
    { name: "Threshold", key: (row) => number(isGone(row) ? reason(row)[1] : null), text: (row) => (isGone(row) ? written(reason(row)[1]) : "–"), numeric: true },
    { name: "Round", key: (row) => (isGone(row) ? reason(row)[0] : NaN), text: (row) => (isGone(row) ? String(reason(row)[0]) : "–"), numeric: true },
    { name: "Taken over by", key: (row) => data.reason[row], cell: (row) => listed(isGone(row) ? reason(row)[3].split(", ") : [], 3, "layers") },
    { name: "Went with", key: (row) => (isGone(row) ? reason(row)[2].length : NaN), cell: (row) => listed(isGone(row) ? reason(row)[2] : [], 1, "tensors") },
  ];

  // What the search looks through, in two parts: each site's name, and what the units of one edit have in common.
  const names = data.sites.map((name) => name.toLowerCase());
  const common = data.reasons.map((why) => `round:${why[0]}; ${why[3]} ${why[2].join(" ")}`.toLowerCase());

  const matches = (row, terms) =>
    terms.every((term) => {
      if (/^\d+$/.test(term)) return data.unit[row] === Number(term) || names[data.site[row]].includes(term);
      return names[data.site[row]].includes(term) || (isGone(row) && common[data.reason[row]].includes(term));
    });

  pagedTable({
    holder: document.getElementById("unit-table"),
    search: document.getElementById("unit-search"),
    show: document.getElementById("unit-show"),
    count: document.getElementById("unit-count"),
    caption: "Every unit and what became of it",
    things: ["unit", "units"],
    columns,
    total: data.unit.length,
    look: (row) => (isGone(row) ? "gone" : "kept"),
    passes: (written, shown) => {
      const terms = written.replace(/round\s+(\d+)/g, "round:$1;").split(/\s+/).filter(Boolean);
      return (row) => (shown === "all" || (shown === "gone") === isGone(row)) && matches(row, terms);
    },
  });
})();

// Paper shows the rounds that the screen folds away.
window.addEventListener("beforeprint", () => document.querySelectorAll("details.round").forEach((part) => (part.open = true)));
