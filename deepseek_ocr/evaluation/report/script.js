// The list of all rows: filters, search, orders, and one row at a time beside it.
// Texts become text nodes, never markup; the policy of the page would not allow it either.
"use strict";
(() => {
const ITEM = 44; // pixels of a line of the list, as in the style sheet
const NAME = 29; // characters of an id that a line of the list has room for
const SEARCH_STEP = 400; // rows searched before the page may breathe

const index = JSON.parse(document.getElementById("index").textContent);
const blocks = [...document.querySelectorAll("script.texts")];
const count = index.id.length;
const unseen = new RegExp(index.unseen, "gu");
const host = document.getElementById("rows");
const verdicts = index.verdict;
const slices = new Map();

function make(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

const percent = (rate, digits = 1) => rate == null ? "–" : (100 * rate).toFixed(digits) + "\u00a0%";
const number = (value) => value.toLocaleString("en");
const rows_ = (n) => number(n) + (n === 1 ? " row" : " rows");

// ---- the texts of a row ----

function texts(place) {
  const slice = Math.floor(place / index.slice);
  if (!slices.has(slice)) slices.set(slice, JSON.parse(blocks[slice].textContent));
  const [truth, length, reason, images, answer, other, baseline] =
    slices.get(slice)[place % index.slice];
  return {truth, length, reason, images, answers: {this: answer, other, baseline}};
}

// [alike, of the truth, "instead", ...] -> the pieces of both texts
function pieces(truth, changes) {
  const found = [];
  let at = 0;
  for (let i = 0; i < changes.length; i += 3) {
    const [alike, missed, invented] = changes.slice(i, i + 3);
    if (alike) found.push({same: truth.slice(at, at + alike)});
    found.push({missed: truth.slice(at + alike, at + alike + missed), invented});
    at += alike + missed;
  }
  if (at < truth.length) found.push({same: truth.slice(at)});
  return found;
}

function prediction(place, who = "this") {
  const row = texts(place), answer = row.answers[who];
  if (!answer) return "";
  return pieces(row.truth, answer[0]).map((p) => p.same ?? p.invented).join("");
}

// ---- text as nodes ----

function shown(text, parent, query) {
  const plain = (part) => {
    let last = 0;
    for (const match of part.matchAll(unseen)) {
      parent.append(part.slice(last, match.index));
      const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      parent.append(make("span", {class: "unseen"}, "U+" + code));
      last = match.index + match[0].length;
    }
    parent.append(part.slice(last));
  };
  if (!query) return plain(text);
  const folded = text.toLowerCase();
  // lower case can be longer than the text; then the places would not be the same
  if (folded.length !== text.length) return plain(text);
  let last = 0;
  for (let at = folded.indexOf(query); at >= 0; at = folded.indexOf(query, last)) {
    plain(text.slice(last, at));
    parent.append(make("mark", {}, text.slice(at, at + query.length)));
    last = at + query.length;
  }
  plain(text.slice(last));
}

// Marks what was searched for in a copy of a prepared row, as far as no difference lies within it.
function highlight(element, query) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (const node of nodes) {
    const fragment = document.createDocumentFragment();
    shown(node.data, fragment, query);
    node.replaceWith(fragment);
  }
}

function marked(tag, text, parent, query) {
  if (!text) return;
  const element = make(tag);
  text.split("\n").forEach((line, i) => {
    if (i) element.append(make("span", {class: "newline"}), "\n");
    shown(line, element, query);
  });
  parent.append(element);
}

function answerBox(name, note, side, parts, query) {
  const raw = make("div", {class: "raw", dir: "auto", tabindex: 0, role: "group", "aria-label": name});
  for (const part of parts) {
    if (part.same != null) shown(part.same, raw, query);
    else marked(side === "truth" ? "del" : "ins", side === "truth" ? part.missed : part.invented, raw, query);
  }
  if (!raw.hasChildNodes()) raw.append(make("span", {class: "nothing"}, "empty"));
  const title = make("h5", {}, name + " ", make("small", {}, note));
  return make("section", {class: "answer"}, title, make("div", {class: "shown"}, raw));
}

// ---- one row ----

function card(place, query) {
  const prepared = document.getElementById("card-" + place)?.content.firstElementChild
    ?? document.getElementById("row-" + place);
  if (prepared) {
    const copy = prepared.cloneNode(true);
    copy.removeAttribute("id");
    for (const input of copy.querySelectorAll("input[type=radio]")) {
      input.name = "view-shown";
      input.checked = input.value === view;
    }
    if (query) copy.querySelectorAll(".raw").forEach((raw) => highlight(raw, query));
    return copy;
  }
  const row = texts(place), status = index.status[place];
  const header = make("header", {}, make("h4"),
    make("span", {class: status === "ok" ? "status" : "status bad"}, status),
    ...figures(place).map((figure) => make("span", {}, figure)));
  shown(index.id[place], header.firstChild, "");
  for (const name of Object.keys(index.facets)) {
    const value = facet(name, place);
    if (value && name !== "num_tiles") {
      header.append(make("span"));
      shown(value, header.lastChild, "");
    }
  }
  const article = make("article", {class: "row"}, header);
  if (row.reason) {
    article.append(make("p", {class: "reason"}));
    shown(row.reason, article.lastChild, "");
  }
  const boxes = make("div", {class: "texts"});
  const long = (n) => `${number(n)} ${n === 1 ? "character" : "characters"}` +
    (n > index.kept ? `, the first ${number(index.kept)} shown and compared` : "");
  const names = Object.entries(index.names).filter(([who]) => row.answers[who]);
  if (!verdicts) boxes.append(answerBox("Truth", long(row.length), "truth", pieces(row.truth, row.answers.this[0]), query));
  for (const [who, name] of names) {
    const [changes, length] = row.answers[who];
    const rate = who === "this" ? "" : `CER ${percent(index.answers[who].cer[place])}, `;
    boxes.append(answerBox(names.length > 1 ? name : "Prediction", rate + long(length), who,
      verdicts ? [{same: prediction(place, who)}] : pieces(row.truth, changes), query));
  }
  const pages = make("div", {class: "missing"});
  shown(row.images.length ? row.images.join(", ") + ": picture not embedded" : "no picture: text only", pages, "");
  article.append(make("div", {class: "compared bare"}, boxes, pages));
  return article;
}

// A benchmark's rows have no truth here: what it said of them stands in place of the rates.
function figures(place) {
  if (verdicts) return [verdicts[place]];
  return [`CER ${percent(index.cer[place])} (${number(index.errors[place])} / ${number(index.chars[place])})`,
    `WER ${percent(index.wer[place])}`];
}

function facet(name, place) {
  const column = index.facets[name];
  return column ? column.values[column.of[place]] : "";
}

// ---- filters, search, orders ----

const state = {query: "", order: verdicts ? "file" : "worst", status: "", range: null, facets: {}};
let found = [], selected = -1, view = "raw", search = 0;

const change = (place) => {
  const theirs = index.answers.other?.cer[place], ours = index.cer[place];
  return theirs == null || ours == null ? 0 : ours - theirs;
};
const worst = (place) => index.cer[place] ?? Infinity;
const down = (key) => (a, b) => { const x = key(a), y = key(b); return x === y ? a - b : x < y ? 1 : -1; };
const up = (key) => (a, b) => { const x = key(a), y = key(b); return x === y ? a - b : x > y ? 1 : -1; };
const ORDERS = {
  ...(!verdicts && {
    worst: ["highest CER first", down(worst)],
    best: ["lowest CER first", up(worst)],
    errors: ["most errors first", down((p) => index.errors[p])],
    long: ["longest truth first", down((p) => index.chars[p])],
  }),
  tokens: ["most tokens first", down((p) => index.tokens[p] ?? -1)],
  file: ["order of the file", (a, b) => a - b],
  ...(index.answers.other && {
    worse: ["most worsened first", down(change)],
    better: ["most improved first", up(change)],
  }),
};

function passes(place) {
  if (state.status && index.status[place] !== state.status) return false;
  for (const [name, value] of Object.entries(state.facets)) if (facet(name, place) !== value) return false;
  if (state.range) {
    const rate = index.chars[place] ? index.cer[place] : null;
    if (rate == null) return false;
    const {from, to} = state.range;
    if (to === null ? rate <= from : rate < from || rate >= to) return false;
  }
  return true;
}

function holds(place, query) {
  return index.id[place].toLowerCase().includes(query)
    || texts(place).truth.toLowerCase().includes(query)
    || Object.keys(index.names).some((who) => prediction(place, who).toLowerCase().includes(query));
}

// Searches in steps, so that typing on is never in its way; a newer search ends an older one.
function refresh() {
  const mine = ++search, query = state.query.toLowerCase();
  const candidates = [];
  for (let place = 0; place < count; place++) if (passes(place)) candidates.push(place);
  drawChips();
  if (!query) return finish(candidates);
  const hits = [];
  let at = 0;
  const step = () => {
    if (mine !== search) return;
    const end = Math.min(at + SEARCH_STEP, candidates.length);
    for (; at < end; at++) if (holds(candidates[at], query)) hits.push(candidates[at]);
    if (at < candidates.length) {
      tally.value = `searching, ${percent(at / candidates.length, 0)}`;
      setTimeout(step);
    } else finish(hits);
  };
  step();
}

function finish(places) {
  const kept = found[selected];
  found = places.sort(ORDERS[state.order][1]);
  tally.value = found.length === count ? rows_(count) : `${number(found.length)} of ${rows_(count)}`;
  const at = found.indexOf(kept);
  list.scrollTop = 0;
  spacer.style.height = found.length * ITEM + "px";
  select(at >= 0 ? at : 0, {quiet: true});
}

// ---- the list: only the lines in sight exist ----

function drawList() {
  const first = Math.max(0, Math.floor(list.scrollTop / ITEM) - 5);
  const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / ITEM) + 5);
  const items = [];
  for (let at = first; at < last; at++) items.push(item(at));
  spacer.replaceChildren(...items);
}

// Long ids differ at their ends: paths mostly begin alike.
function shortened(id) {
  const characters = [...id];
  return characters.length <= NAME ? id : characters.slice(0, 8).join("") + "…" + characters.slice(9 - NAME).join("");
}

function item(at) {
  const place = found[at], rate = index.cer[place], status = index.status[place];
  const name = make("span", {class: "name", title: index.id[place]});
  shown(shortened(index.id[place]), name, "");
  const note = make("span", {class: "note"}, make("span", {},
    verdicts ? verdicts[place] : `${number(index.errors[place])} of ${number(index.chars[place])} wrong`));
  if (status !== "ok") note.append(make("span", {class: "bad"}, status));
  for (const who of Object.keys(index.answers)) {
    note.append(make("span", {class: "key " + who}, percent(index.answers[who].cer[place])));
  }
  const gauge = make("span", {class: !verdicts && (rate == null || rate > 1) ? "gauge beyond" : "gauge"});
  gauge.style.width = verdicts ? "0" : 100 * Math.min(rate ?? 1, 1) + "%";
  const element = make("div", {class: "item", role: "option", id: "item-" + at, "aria-selected": at === selected,
    "aria-setsize": found.length, "aria-posinset": at + 1},
    name, make("span", {class: "rate"}, verdicts ? "" : percent(rate)), note, gauge);
  element.style.top = at * ITEM + "px";
  element.addEventListener("click", () => select(at));
  return element;
}

function select(at, {quiet = false} = {}) {
  selected = found.length ? Math.min(Math.max(at, 0), found.length - 1) : -1;
  if (selected >= 0) {
    const top = selected * ITEM, bottom = top + ITEM;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
    detail.replaceChildren(card(found[selected], state.query.toLowerCase()));
    list.setAttribute("aria-activedescendant", "item-" + selected);
    if (!quiet) try { history.replaceState(null, "", "#row=" + encodeURIComponent(index.id[found[selected]])); } catch { /* a lone surrogate, or a page that may not */ }
  } else {
    detail.replaceChildren(make("p", {class: "soft"}, "No row passes all filters."));
    list.removeAttribute("aria-activedescendant");
  }
  detail.scrollTop = 0;
  drawList();
}

// ---- tools ----

function choice(label, options, value, onchange) {
  const element = make("select", {"aria-label": label});
  for (const [key, name] of options) element.append(make("option", {value: key}, name));
  element.value = value;
  element.addEventListener("change", () => onchange(element.value));
  return element;
}

const LABELS = {group: "documents", lang: "languages", kind: "kinds", num_tiles: "numbers of tiles"};
const visibleName = (text) => text.replace(unseen, "\ufffd") || "none";
const searchBox = make("input", {type: "search", placeholder: `Search ids${verdicts ? "" : ", truths"} and predictions  ( / )`, "aria-label": "search"});
const tally = make("output", {"aria-live": "polite"});
const chips = make("span", {});
const list = make("div", {class: "list", role: "listbox", tabindex: 0, "aria-label": "rows"});
const spacer = make("div");
const detail = make("div", {class: "detail", tabindex: 0, role: "region", "aria-label": "the selected row"});
spacer.style.position = "relative";
list.append(spacer);

const statuses = [...new Set(index.status)].sort();
const selects = {};
selects.order = choice("order", Object.entries(ORDERS).map(([key, [name]]) => [key, name]), state.order, (value) => { state.order = value; refresh(); });
if (statuses.length > 1) {
  selects.status = choice("status", [["", "all endings"], ...statuses.map((s) => [s, s])], "", (value) => { state.status = value; refresh(); });
}
for (const [name, column] of Object.entries(index.facets)) {
  const options = [["", "all " + LABELS[name]], ...column.values.map((v) => ["=" + v, visibleName(v)])];
  selects[name] = choice(LABELS[name], options, "", (value) => {
    if (value) state.facets[name] = value.slice(1); else delete state.facets[name];
    refresh();
  });
}
const help = make("button", {type: "button", class: "help"}, "Keys ", make("kbd", {}, "?"));
host.append(
  make("div", {class: "tools"}, searchBox, ...Object.values(selects), chips, tally, help),
  make("div", {class: "panes"}, list, detail));
host.hidden = false;
document.documentElement.classList.add("scripted");

function drawChips() {
  chips.replaceChildren();
  if (state.range) {
    const {from, to} = state.range;
    const name = `CER ${to === null ? "above " : ""}${Math.round(100 * from)}${to === null ? "" : " to " + Math.round(100 * to)} %`;
    const chip = make("button", {type: "button", class: "chip", title: "remove this filter"}, name);
    chip.addEventListener("click", () => { state.range = null; refresh(); });
    chips.append(chip);
  }
}

function narrow(name, value) {
  if (name === "status") {
    state.status = value;
    if (selects.status) selects.status.value = value;
  } else if (index.facets[name]) {
    state.facets[name] = value;
    selects[name].value = "=" + value;
  } else {
    state.query = searchBox.value = value;
  }
  refresh();
  document.getElementById("browser").scrollIntoView();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-filter]");
  if (button) narrow(button.dataset.filter, button.dataset.value);
  const bar = event.target.closest("rect[data-from]");
  if (bar) {
    state.range = {from: bar.dataset.from / 100, to: bar.dataset.to ? bar.dataset.to / 100 : null};
    refresh();
    document.getElementById("browser").scrollIntoView();
  }
});

let typing = 0;
searchBox.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => { state.query = searchBox.value.trim(); refresh(); }, 150);
});
list.addEventListener("scroll", () => requestAnimationFrame(drawList), {passive: true});
new ResizeObserver(drawList).observe(list);
detail.addEventListener("change", (event) => { if (event.target.type === "radio") view = event.target.value; });

// ---- keys ----

const dialog = make("dialog", {"aria-label": "keys"}, make("h3", {}, "Keys"), make("dl", {},
  ...[["j, ↓", "next row"], ["k, ↑", "previous row"], ["g, G", "first, last row"], ["/", "search"],
      ["v", "differences, rendered, side by side"], ["b", "boxes on the pages on and off"],
      ["z", "enlarge the page"], ["Esc", "leave the search, close this"], ["?", "this list"]]
    .flatMap(([key, meaning]) => [make("dt", {}, ...key.split(", ").flatMap((k, i) => i ? [" ", make("kbd", {}, k)] : [make("kbd", {}, k)])), make("dd", {}, meaning)])),
  make("button", {type: "button"}, "Close"));
dialog.lastChild.addEventListener("click", () => dialog.close());
document.body.append(dialog);
help.addEventListener("click", () => dialog.showModal());

function move(at) {
  select(at);
  const box = host.getBoundingClientRect();
  if (box.top > innerHeight * 0.6 || box.bottom < innerHeight * 0.4) document.getElementById("browser").scrollIntoView();
}

function cycle() {
  const inputs = [...detail.querySelectorAll(".views input")];
  if (!inputs.length) return;
  const next = inputs[(inputs.findIndex((input) => input.checked) + 1) % inputs.length];
  next.checked = true;
  view = next.value;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  const inList = event.target === list || event.target === document.body || host.contains(event.target);
  if (event.target === searchBox) {
    if (event.key === "Escape" || event.key === "Enter") { list.focus({preventScroll: true}); event.preventDefault(); }
    return;
  }
  if (event.target.matches("select, input[type=radio], input[type=text], textarea")) return;
  const arrows = event.target === list;
  const keys = {
    j: () => move(selected + 1), k: () => move(selected - 1),
    ...(arrows && {ArrowDown: () => move(selected + 1), ArrowUp: () => move(selected - 1),
      PageDown: () => move(selected + 10), PageUp: () => move(selected - 10),
      Home: () => move(0), End: () => move(found.length - 1)}),
    g: () => move(0), G: () => move(found.length - 1),
    "/": () => { document.getElementById("browser").scrollIntoView(); searchBox.focus({preventScroll: true}); searchBox.select(); },
    v: cycle,
    b: () => document.documentElement.classList.toggle("without-boxes"),
    z: () => detail.querySelector(".pages input")?.click(),
    "?": () => dialog.showModal(),
  };
  if (keys[event.key] && (inList || !arrows)) { keys[event.key](); event.preventDefault(); }
});

addEventListener("beforeprint", () => {
  for (const element of document.querySelectorAll("main details")) element.open = true;
});

// ---- begin ----

function follow() {
  if (!location.hash.startsWith("#row=")) return false;
  let id;
  try { id = decodeURIComponent(location.hash.slice(5)); } catch { return false; }
  const at = found.findIndex((place) => index.id[place] === id);
  if (at < 0) return false;
  select(at, {quiet: true});
  document.getElementById("browser").scrollIntoView();
  return true;
}

refresh();
follow();
addEventListener("hashchange", follow);
})();
