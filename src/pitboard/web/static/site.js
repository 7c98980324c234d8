// The table of results and the comparison where the pages are files: reads the data of rounds, filters, sorts,
// chooses columns and compares. Every table is there without it, too. No part of it makes markup of data.
"use strict";

const FACETS = {
  benchmark: "Benchmark", accelerators: "Accelerator count", accelerator: "Accelerator", submitter: "Submitter",
  precision: "Precision", round: "Round", division: "Division", availability: "Availability",
};
const SEARCHED = [
  "round", "benchmark", "system", "system_name", "submitter", "accelerator", "precision", "framework", "division",
  "availability",
];
const NOT_STATED = "not stated";
const LETTERS = "ABCDEF";
const root = new URL("./", document.querySelector(".brand").href);
const files = new Map([...document.querySelectorAll("a[data-of]")].map((link) => [link.dataset.of, link.href]));
const loaded = new Map();

/** Make an element with attributes and children; a text child is text, whatever it holds. */
function make(name, attributes = {}, ...children) {
  const svg = ["svg", "rect", "line", "text", "title"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Return what a round's file holds, its rows as objects with their `columns`. */
async function load(round) {
  if (!loaded.has(round)) loaded.set(round, read(round));
  return loaded.get(round);
}

async function read(round) {
  const response = await fetch(files.get(round));
  if (!response.ok) throw new Error(`${response.status}`);
  const data = await response.json();
  data.columns.forEach((column) => {
    if (column.texts) column.values = column.values.map((at) => column.texts[at]);
  });
  data.entries = Array.from({ length: data.rows }, (_, at) => ({
    at, data,
    ...Object.fromEntries(data.columns.map((column) => [column.name, column.values[at]])),
  }));
  return data;
}

function shown(column, value) {
  if (value === null || value === undefined) return "";
  if (column.kind === "integer") return value.toLocaleString("en-US");
  if (column.kind !== "number") return String(value);
  const digits = { minimumFractionDigits: column.digits, maximumFractionDigits: column.digits };
  return value.toLocaleString("en-US", digits);
}

function cellText(column, row) {
  const text = shown(column, row[column.name]);
  const own = row.data.columns.find((each) => each.name === column.name);
  return text && own && own.marks ? text + own.marks[row.at] : text;
}

/** Return the address of a page, by the parts of its path. */
function page(...parts) {
  return new URL(parts.map((part) => `${encodeURIComponent(part)}/`).join("") + "index.html", root).href;
}

const resultPage = (row) => page("results", ...row.reference.split("/"));
const systemPage = (row) => page("systems", row.round, row.submitter, row.system);

function leadsTo(column, row) {
  if (column.name === "minutes" || column.name === "reference") return resultPage(row);
  if (column.name === "system") return systemPage(row);
  if (column.name === "benchmark") return page("benchmarks", row.benchmark);
  return null;
}

function compareAddress(picks) {
  const query = picks.map((pick) => `r=${encodeURIComponent(pick).replaceAll("%2F", "/")}`).join("&");
  return `${page("compare")}?${query}`;
}

/** Return the parts of a name with places between them where a line may end. */
function breaks(text) {
  return text.split(/(?<=[_/])/).flatMap((part, at) => (at ? [make("wbr"), part] : [part]));
}

/** Say which side a cell is of, where its table stands a field a line and has no heading. */
function letter(at) {
  return make("span", { class: "letter", "aria-hidden": "true" }, LETTERS[at]);
}

function failed(where) {
  where.prepend(make("p", { class: "notice warn", role: "alert" },
    "The data of these pages could not be read. From a disk, a browser refuses it: serve the folder, for instance with ",
    make("code", {}, "python -m http.server"), ". Every table is complete without it."));
}

// The table of results.

class Results {
  constructor(place) {
    this.place = place;
    this.most = Number(place.dataset.most);
    this.form = make("form", { class: "ask" });
    this.tools = make("div", { class: "tools" });
    this.out = make("div", { id: "shown" });
    this.form.append(this.tools, this.out);
    this.form.addEventListener("submit", (event) => event.preventDefault());
    addEventListener("popstate", () => this.start());
  }

  async start() {
    const query = new URLSearchParams(location.search);
    const own = { round: [this.place.dataset.round], benchmark: [this.place.dataset.benchmark] };
    this.chosen = {};
    for (const name of Object.keys(FACETS)) {
      const given = query.getAll(name).filter(Boolean);
      this.chosen[name] = new Set(given.length || query.size ? given : own[name]?.filter(Boolean));
    }
    if (!this.chosen.round.size) this.chosen.round.add(own.round[0]);
    this.search = query.get("search") || "";
    this.sort = query.get("sort") || "";
    this.columns = (query.get("columns") || "").split(",").filter(Boolean);
    this.picks = query.getAll("r").slice(0, this.most);
    await this.read();
    this.control();
    this.show();
  }

  async read() {
    const rounds = [...this.chosen.round].filter((round) => files.has(round));
    const parts = await Promise.all(rounds.map(load));
    this.rows = parts.flatMap((part) => part.entries);
    const any = parts[0] || await load(this.place.dataset.round);
    this.all = any.columns;
    this.usual = this.all.filter((column) => !column.detail).map((column) => column.name);
  }

  /** Return the rows that all filters leave, or all but one. */
  left(but = "") {
    const words = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    const filters = Object.keys(FACETS).filter((name) => name !== but && name !== "round" && this.chosen[name].size);
    return this.rows.filter((row) =>
      filters.every((name) => this.chosen[name].has(String(row[name] ?? NOT_STATED))) &&
      (!words.length || this.has(row, words)));
  }

  has(row, words) {
    const line = SEARCHED.map((name) => row[name] ?? "").join(" ").toLowerCase();
    return words.every((word) => line.includes(word));
  }

  visible() {
    const known = this.columns.filter((name) => this.all.some((column) => column.name === name));
    const names = known.length ? known : [...this.usual];
    if (this.chosen.round.size > 1 && !names.includes("round")) names.splice(1, 0, "round");
    return names.map((name) => this.all.find((column) => column.name === name));
  }

  sorted(rows) {
    const single = this.chosen.benchmark.size === 1;
    const sort = this.sort || (single ? "minutes" : "");
    const name = sort.replace(/^-/, "");
    if (!this.all.some((column) => column.name === name)) return rows;
    const sign = sort.startsWith("-") ? -1 : 1;
    const key = (row) => (typeof row[name] === "string" ? row[name].toLowerCase() : row[name]);
    const given = rows.filter((row) => row[name] !== null && row[name] !== undefined);
    const order = (a, b) => (key(a) < key(b) ? -sign : key(a) > key(b) ? sign : 0);
    return [...given.sort(order), ...rows.filter((row) => row[name] === null || row[name] === undefined)];
  }

  /** Keep what is chosen in the address, which can be shared. */
  keep(replace = false) {
    const query = new URLSearchParams();
    if (this.search) query.append("search", this.search);
    for (const [name, values] of Object.entries(this.chosen)) values.forEach((value) => query.append(name, value));
    if (this.sort) query.append("sort", this.sort);
    if (this.columns.length && String(this.columns) !== String(this.usual)) query.append("columns", this.columns);
    this.picks.forEach((pick) => query.append("r", pick));
    const text = String(query).replaceAll("%2F", "/").replaceAll("%2C", ",");
    history[replace ? "replaceState" : "pushState"](null, "", `${location.pathname}?${text}`);
  }

  change(replace = false) {
    this.keep(replace);
    this.show();
  }

  control() {
    const find = make("input", { type: "search", id: "search", value: this.search, placeholder: "system, submitter, software …" });
    find.addEventListener("input", () => {
      this.search = find.value.trim();
      this.change(true);
    });
    const open = [...this.tools.querySelectorAll("details[open]")].map((each) => each.dataset.name);
    this.tools.replaceChildren(make("div", { class: "find" }, make("label", { for: "search" }, "Search"), find));
    for (const [name, label] of Object.entries({ ...FACETS, columns: "Columns" })) {
      const said = make("b", { class: "said", id: `said-${name}` });
      const list = make("ul", { class: "choices", id: `choices-${name}` });
      const panel = make("div", { class: "panel", role: "group", "aria-label": label }, list,
        name === "round" ? make("p", { class: "quiet" }, "Without a tick: the round of this page.") : null);
      const summary = make("summary", {}, `${label} `, said);
      this.tools.append(make("details", { class: "facet", name: "facet", "data-name": name, open: open.includes(name) },
        summary, panel));
    }
    const select = make("select", { id: "sort" });
    select.addEventListener("change", () => {
      this.sort = select.value;
      this.change();
    });
    this.tools.append(make("div", { class: "sorter" }, make("label", {}, "Sort by ", select)));
  }

  /** Offer every way to sort: where tables are cards, their headings cannot. */
  sorter() {
    const ways = this.visible().flatMap((column) =>
      [["", "▲"], ["-", "▼"]].map(([sign, arrow]) => [`${sign}${column.name}`, `${column.heading} ${arrow}`]));
    this.tools.querySelector("#sort").replaceChildren(...[["", "As listed"], ...ways].map(([value, text]) => {
      const option = make("option", { value }, text);
      option.selected = value === this.sort;
      return option;
    }));
  }

  show() {
    const focused = document.activeElement?.id;
    for (const name of Object.keys(FACETS)) this.facet(name);
    this.chooser();
    this.sorter();
    const rows = this.sorted(this.left());
    this.out.replaceChildren(this.headline(rows), this.chips(), rows.length ? this.table(rows) : this.nothing(), this.picked());
    if (this.form.parentNode !== this.place) this.place.replaceChildren(this.form);
    if (focused) document.getElementById(focused)?.focus();
  }

  facet(name) {
    const chosen = this.chosen[name];
    const counts = new Map(name === "round" ? [...files.keys()].map((round) => [round, null]) : []);
    if (name !== "round") {
      this.left(name).forEach((row) => {
        const value = String(row[name] ?? NOT_STATED);
        counts.set(value, (counts.get(value) || 0) + 1);
      });
    }
    chosen.forEach((value) => counts.has(value) || counts.set(value, 0));
    const values = [...counts.keys()];
    if (name !== "round") values.sort(name === "accelerators" ? (a, b) => a - b : (a, b) => a.localeCompare(b));
    const choices = values.map((value) => {
      const box = make("input", { type: "checkbox", id: `${name}-${value}`, name, value });
      box.checked = chosen.has(value);
      box.addEventListener("change", async () => {
        if (box.checked) chosen.add(value);
        else chosen.delete(value);
        if (name === "round") {
          if (!chosen.size) chosen.add(this.place.dataset.round);
          await this.read();
        }
        this.change();
      });
      const count = counts.get(value);
      return make("li", {}, make("label", {}, box, ` ${value} `, count === null ? "" : make("small", {}, count.toLocaleString("en-US"))));
    });
    this.tools.querySelector(`#choices-${name}`).replaceChildren(...choices);
    this.tools.querySelector(`#said-${name}`).textContent =
      chosen.size > 1 ? `${chosen.size} chosen` : [...chosen][0] || "";
  }

  chooser() {
    const names = this.visible().map((column) => column.name);
    this.tools.querySelector("#choices-columns").replaceChildren(...this.all.map((column) => {
      const box = make("input", { type: "checkbox", id: `column-${column.name}`, name: "columns", value: column.name });
      box.checked = names.includes(column.name);
      box.addEventListener("change", () => {
        this.columns = box.checked ? [...names, column.name] : names.filter((name) => name !== column.name);
        this.change();
      });
      return make("li", {}, make("label", {}, box, ` ${column.heading}`));
    }));
  }

  headline(rows) {
    const rounds = [...this.chosen.round].map((round) => `v${round}`).join(" and ");
    const count = `${rows.length.toLocaleString("en-US")} result${rows.length === 1 ? "" : "s"}`;
    return make("p", { class: "finding", role: "status" }, `MLPerf Training ${rounds}: ${count}`);
  }

  chips() {
    const list = make("ul", { class: "chips", "aria-label": "Chosen; each is removed by its button" });
    for (const [name, values] of Object.entries(this.chosen)) {
      if (name === "round") continue;
      values.forEach((value) => {
        const button = make("button", { type: "button", class: "chip" },
          make("span", { class: "quiet" }, FACETS[name]), ` ${value} `, make("span", { "aria-hidden": "true" }, "×"),
          make("span", { class: "hidden" }, ", remove"));
        button.addEventListener("click", () => {
          values.delete(value);
          this.change();
        });
        list.append(make("li", {}, button));
      });
    }
    return list.children.length ? list : make("p", { hidden: true });
  }

  nothing() {
    return make("p", { class: "notice", role: "status" }, "No result matches. Remove one of what is chosen above.");
  }

  table(rows) {
    const columns = this.visible();
    const sort = this.sort || (this.chosen.benchmark.size === 1 ? "minutes" : "");
    const css = (column) => (column.kind === "text" ? "short" : "num");
    const heads = columns.map((column) => {
      const state = sort === column.name ? "ascending" : sort === `-${column.name}` ? "descending" : null;
      const button = make("button", { type: "button", id: `by-${column.name}` }, column.heading);
      button.addEventListener("click", () => {
        this.sort = `${state === "ascending" ? "-" : ""}${column.name}`;
        this.change();
      });
      return make("th", { scope: "col", class: css(column), "aria-sort": state }, button);
    });
    const named = Math.max(0, columns.findIndex((column) => column.name === "system"));
    // As the server does: a column of long names takes a line of its own on a phone.
    const shapes = columns.map((column) => {
      const width = Math.max(...rows.map((row) => cellText(column, row).length));
      return column.kind !== "text" ? "num" : width > 28 ? "long broad" : width > 18 ? "short broad" : "short";
    });
    // So does what all rows have: cards say it once, above them.
    const same = columns.filter((column, at) => at > 0 && at !== named && column.name !== "minutes" && rows.length > 3
      && cellText(column, rows[0]) && rows.every((row) => cellText(column, row) === cellText(column, rows[0])));
    columns.forEach((column, at) => { if (same.includes(column)) shapes[at] += " same"; });
    const said = same.length ? make("p", { class: "in-every-row" }, "In every row: ", ...same.flatMap((column, at) => [
      make("span", { class: "quiet" }, column.heading), ` ${cellText(column, rows[0])}${at + 1 < same.length ? ", " : "."}`])) : null;
    const body = rows.map((row) => make("tr", {}, this.pick(row), ...columns.map((column, at) => {
      const text = cellText(column, row);
      const to = text ? leadsTo(column, row) : null;
      const inner = !text ? [make("span", { class: "quiet nil" }, "–")] : to ? [make("a", { href: to }, ...breaks(text))] : [text];
      return make(at === named ? "th" : "td",
        { class: shapes[at], "data-label": column.heading, scope: at === named ? "row" : null }, ...inner);
    })));
    const head = make("tr", {}, make("td", { class: "pick" }, make("span", { class: "hidden" }, "Compare")), ...heads);
    const scroller = make("div", { class: "scroller", role: "region", "aria-label": "Results", tabindex: "0" },
      make("table", { class: "deck results" }, make("thead", {}, head), make("tbody", {}, ...body)));
    const whole = make("label", { class: "whole" }, make("input", { type: "checkbox" }), ` All ${rows.length.toLocaleString("en-US")} rows`);
    const tip = make("p", { class: "quiet tip" }, `Tick up to ${this.most} results to compare them.`);
    return make("div", { class: "tabled" }, this.picks.length ? null : tip, said, scroller, rows.length > 15 ? whole : null);
  }

  pick(row) {
    if (row.minutes === null) return make("td", { class: "pick" });
    const box = make("input", { type: "checkbox", id: `pick-${row.reference}` });
    box.checked = this.picks.includes(row.reference);
    box.disabled = !box.checked && this.picks.length >= this.most;
    box.addEventListener("change", () => {
      this.picks = box.checked ? [...this.picks, row.reference] : this.picks.filter((pick) => pick !== row.reference);
      this.change(true);
    });
    return make("td", { class: "pick" }, make("label", {}, box, make("span", { class: "hidden" }, `Compare ${row.reference}`)));
  }

  picked() {
    if (!this.picks.length) return make("p", { hidden: true });
    return make("p", { class: "picks" },
      make("a", { class: "go", href: compareAddress(this.picks) }, `Compare ${this.picks.length}`));
  }
}

// The comparison.

class Comparison {
  constructor(place) {
    this.place = place;
    this.most = Number(place.dataset.most);
  }

  async start() {
    const picks = [...new Set(new URLSearchParams(location.search).getAll("r"))].filter(Boolean);
    if (!picks.length) {
      this.place.replaceChildren(make("p", { class: "notice" }, "No result is selected yet."));
      return;
    }
    const found = await Promise.all(picks.slice(0, this.most).map((pick) => this.row(pick)));
    const rows = found.filter(Boolean);
    const parts = found.flatMap((row, at) => (row ? [] : [this.said(`There is no result ${picks[at]}.`)]));
    if (picks.length > this.most) parts.push(this.said(`At most ${this.most} results can be compared at once.`));
    parts.push(this.chosen(rows));
    const odd = rows.find((row) => row.benchmark !== rows[0].benchmark);
    const target = rows.find((row) => row.data.target[row.at] !== rows[0]?.data.target[rows[0].at]);
    if (odd) parts.push(this.said(`The benchmarks differ: ${rows[0].benchmark} and ${odd.benchmark}. Their times say nothing of each other.`));
    else if (target) parts.push(this.said("The quality targets differ: their times say nothing of each other."));
    else if (rows.length > 1) parts.push(...this.sections(rows));
    else parts.push(make("p", { class: "notice" }, "Pick another to compare it with."));
    this.place.replaceChildren(...parts);
    if (rows.length > 1 && !odd && !target) this.software(rows);
  }

  async row(pick) {
    const round = pick.split("/")[0];
    if (!files.has(round)) return null;
    return (await load(round)).entries.find((row) => row.reference === pick);
  }

  said(sentence) {
    return make("div", { class: "notice bad", role: "alert" }, make("p", {}, sentence));
  }

  chosen(rows) {
    return make("ul", { class: "chips", "aria-label": "Compared" }, ...rows.map((row, at) => {
      const others = rows.filter((each) => each !== row).map((each) => each.reference);
      const link = make("a", { href: others.length ? compareAddress(others) : page("results") },
        `${LETTERS[at]} `, ...breaks(row.reference), " ", make("span", { "aria-hidden": "true" }, "×"),
        make("span", { class: "hidden" }, ", remove"));
      return make("li", {}, link);
    }));
  }

  sections(rows) {
    const names = new Map(rows.map((row, at) => [row, LETTERS[at]]));
    const ranked = [...rows].sort((a, b) => (a.minutes ?? Infinity) - (b.minutes ?? Infinity));
    const ratio = ranked[1].minutes / ranked[0].minutes;
    const title = make("h2", { id: "verdict" },
      `${rows[0].benchmark}: ${names.get(ranked[0])} trains in ${ranked[0].minutes.toFixed(2)} minutes, ` +
      `${ratio.toFixed(3)} × as fast as ${names.get(ranked[1])}`);
    return [title, this.guard(rows), this.bars(ranked, names), this.facts(rows), make("div", { id: "software-differs" }),
      make("p", { class: "quiet" }, "Each result's page has its runs, its logs and how to cite it: ",
        ...rows.flatMap((row, at) => [at ? ", " : "", make("a", { href: resultPage(row) }, row.reference)]), ".")];
  }

  /** Say in what the results differ that a comparison must name. */
  guard(rows) {
    const reasons = rows[0].data.aspects.flatMap((aspect, number) => {
      const groups = new Map();
      rows.forEach((row, at) => {
        const value = row.data.aspects[number].values[row.at];
        if (value) groups.set(value, [...(groups.get(value) || []), LETTERS[at]]);
      });
      if (groups.size < 2) return [];
      const said = [...groups].map(([value, letters]) => `${value} (${letters.join(", ")})`);
      return [`The ${aspect.name} differ: ${said.slice(0, -1).join(", ")} and ${said.at(-1)}${aspect.because}.`];
    });
    rows.forEach((row, at) => row.to_know && reasons.push(`${LETTERS[at]}: ${row.to_know}.`));
    if (!reasons.length) return make("p", { class: "notice" }, "Like for like: the same round, division, availability category, count of accelerators and stated precision.");
    return make("div", { class: "notice warn", role: "alert" }, make("p", {}, make("strong", {}, "Not like for like")),
      make("ul", {}, ...reasons.map((reason) => make("li", {}, reason))));
  }

  /** Draw a bar a result, the fastest first, with a line from its fastest run that counts to its slowest. */
  bars(ranked, names) {
    const ends = ranked.map((row) => row.data.slowest[row.at] ?? row.minutes);
    const whole = Math.max(...ends, ...ranked.map((row) => row.minutes));
    const high = 46;
    const wide = matchMedia("(max-width: 40rem)").matches ? 360 : 720;
    const picture = make("svg", { class: "ranked", viewBox: `0 0 ${wide} ${ranked.length * high}`, role: "img",
      "aria-label": "Minutes to train, the fastest first; the table below has the figures" });
    ranked.forEach((row, at) => {
      const place = (minutes) => (wide - 90) * minutes / whole;
      const low = row.data.fastest[row.at];
      const top = at * high;
      picture.append(
        make("text", { x: 0, y: top + 14, class: "name" }, `${names.get(row)} ${row.submitter} · ${row.accelerators} × ${row.accelerator}`),
        make("rect", { x: 0, y: top + 20, width: place(row.minutes).toFixed(1), height: 16 }));
      if (low !== null && ends[at] > low) {
        picture.append(make("line", { x1: place(low).toFixed(1), x2: place(ends[at]).toFixed(1), y1: top + 28, y2: top + 28 }));
      }
      picture.append(make("text", { x: (place(Math.max(ends[at], row.minutes)) + 8).toFixed(1), y: top + 33 },
        `${row.minutes.toFixed(2)} min`));
    });
    return make("figure", { class: "chart" }, picture,
      make("figcaption", {}, "Minutes to train; the line reaches from the fastest run to the slowest. Source: MLPerf Training results published by MLCommons."));
  }

  facts(rows) {
    const first = rows[0].minutes;
    const lines = rows[0].data.columns.map((column) => make("tr", {}, make("th", { scope: "row" }, column.heading),
      ...rows.map((row, at) => {
        const text = cellText(column, row);
        const to = text ? leadsTo(column, row) : null;
        const parts = breaks(text);
        return make("td", {}, letter(at), ...(!text ? [make("span", { class: "quiet nil" }, "–")] : to ? [make("a", { href: to }, ...parts)] : parts));
      })));
    const speed = make("tr", {}, make("th", { scope: "row" }, "As fast as A (×)"),
      ...rows.map((row, at) => make("td", {}, letter(at), (first / row.minutes).toFixed(3))));
    const head = make("tr", {}, make("td", {}), ...rows.map((_, at) => make("th", { scope: "col" }, LETTERS[at])));
    return make("div", { class: "scroller", role: "region", "aria-label": "The results side by side", tabindex: "0" },
      make("table", { class: "upright sides" }, make("thead", {}, head), make("tbody", {}, lines[0], speed, ...lines.slice(1))));
  }

  /** Show where the software differs, as the systems' own pages tell it. */
  async software(rows) {
    const sides = await Promise.all(rows.map(async (row) => {
      const response = await fetch(systemPage(row));
      const text = response.ok ? await response.text() : "";
      const found = new DOMParser().parseFromString(text, "text/html");
      const lines = [...found.querySelectorAll("section[aria-labelledby=software] tbody tr")];
      return new Map(lines.map((line) => [line.cells[0].textContent.trim(), line.cells[1].textContent.trim()]));
    }));
    const keys = [...new Set(sides.flatMap((side) => [...side.keys()]))].sort((a, b) => a.localeCompare(b));
    const differ = keys.filter((key) => new Set(sides.map((side) => side.get(key) ?? "")).size > 1);
    const head = make("tr", {}, make("th", { scope: "col" }, "Software"), ...rows.map((_, at) => make("th", { scope: "col" }, LETTERS[at])));
    const body = differ.map((key) => make("tr", {}, make("th", { scope: "row" }, key),
      ...sides.map((side, at) => make("td", {}, letter(at), side.get(key) ?? make("span", { class: "quiet" }, "not stated")))));
    document.getElementById("software-differs")?.replaceChildren(
      make("h2", {}, `Software: ${differ.length} of ${keys.length} entries differ`),
      make("div", { class: "scroller", role: "region", "aria-label": "Software that differs", tabindex: "0" },
        make("table", { class: "upright sides" }, make("thead", {}, head), make("tbody", {}, ...body))));
  }
}

for (const [id, kind] of [["results", Results], ["compare", Comparison]]) {
  const place = document.getElementById(id);
  if (place) new kind(place).start().catch((error) => {
    console.info(error);
    failed(place);
  });
}
