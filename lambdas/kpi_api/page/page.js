/**
 * The KPI page. What is shown follows from the address's fragment (#day=…&genre=…) and from the API's answers.
 *
 * Names come from other people's files: everything is put into the page as text, never as HTML. The key is kept in
 * this tab's sessionStorage and nowhere else.
 */

const KEY = "music-kpi-api-key";
const PAGE_OF_DAYS = 366;
const PAGE_OF_GENRES = 500;
const SERIES_DAYS = 90;
const COUNTRIES_SHOWN = 8;
const SPECIAL_COUNTRIES = { unknown: "Unknown", other: "Other countries" };

const byId = (id) => document.getElementById(id);
const main = byId("main");

/** What the page knows: the listed days, newest first, and where the list goes on. */
const known = { days: [], cursor: null };
let loading = new AbortController();
/** How the charts of the view are drawn, by the element that takes each; and what is drawn. */
const drawings = new Map();
const charts = [];

// --- Words and numbers

const LOCALE = "en-GB";
const whole = new Intl.NumberFormat(LOCALE);
const decimals = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const compact = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(LOCALE, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const dateFormat = (options) => new Intl.DateTimeFormat(LOCALE, { timeZone: "UTC", ...options });
const longDate = dateFormat({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const mediumDate = dateFormat({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const shortDate = dateFormat({ day: "numeric", month: "short" });
const moment = dateFormat({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });

const dateOf = (day) => new Date(`${day}T00:00:00Z`);
const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(dateOf(text).valueOf());

/** A time as [number, unit] pairs: hours and minutes, or minutes and seconds. */
function timeParts(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours ? [[whole.format(hours), "h"], [minutes, "min"]] : [[minutes, "min"], [seconds % 60, "s"]];
}

const timeText = (milliseconds) => timeParts(milliseconds).map(([value, unit]) => `${value} ${unit}`).join(" ");
const plays = (count) => `${whole.format(count)} ${count === 1 ? "play" : "plays"}`;

// --- Elements

/** An element; attributes that are functions are listeners, and children that are no elements are text. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

function panel(title, { note = null, size = "", id }, ...children) {
  const head = el("div", { class: "panel-head" }, el("h2", { id }, title), typeof note === "string" ? el("p", {}, note) : note);
  return el("section", { class: `panel ${size}`, "aria-labelledby": id }, head, ...children);
}

function show(title, ...children) {
  main.removeAttribute("aria-busy");
  main.replaceChildren(...children.filter(Boolean));
  drawCharts();
  document.title = `${title} · Music KPIs`;
  const heading = main.querySelector("h1");
  if (heading) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  window.scrollTo(0, 0);
  byId("status").textContent = title;
}

// --- The API

class ApiError extends Error {
  constructor(kind, title, message) {
    super(message);
    this.kind = kind;
    this.title = title;
  }
}

async function get(path, parameters, signal) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(parameters ?? {})) if (value) url.searchParams.set(name, value);
  let response;
  let body;
  try {
    response = await fetch(url, { headers: { "x-api-key": sessionStorage.getItem(KEY) }, signal });
    body = await response.json().catch(() => ({}));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("network", "The API cannot be reached", "Check the connection to this network, then try again.");
  }
  if (response.ok) return body;
  throw refusal(response.status, body);
}

/** What a refusal means to the person in front of the page. API Gateway says `message` or `Message`, the API `detail`. */
function refusal(status, body) {
  const said = body.detail ?? body.message ?? body.Message ?? "";
  if (status === 401 || status === 403) {
    if (/explicit deny|not authorized/i.test(said)) {
      return new ApiError("address", "This address may not read the KPIs", "Your network address is not on the allow-list of this environment. Ask whoever runs it to add it.");
    }
    if (/authentication token/i.test(said)) {
      return new ApiError("signature", "This environment takes signed requests only", "It is set to IAM authorization: a page with an API key cannot read it. Use a client that signs requests.");
    }
    return new ApiError("key", "The key is not accepted", "Check the key, or ask whoever runs this environment for another one.");
  }
  if (status === 404) {
    const { day, genre } = place();
    const isGenre = body.type?.endsWith("unknown-genre");
    return new ApiError("unknown", isGenre ? `No plays of ${genre}` : "No KPIs", `${isGenre ? "None" : "No plays"} of ${day ? longDate.format(dateOf(day)) : "this day"} have been counted.`);
  }
  if (status === 409) return dayChanged();
  if (status === 429) return new ApiError("busy", "Too many requests", "The limit of this key is reached. Wait a moment, then try again.");
  if (status === 503) return new ApiError("busy", "The database is busy", "Nothing is wrong with the figures. Wait a moment, then try again.");
  const request = body.request_id ? ` The request is ${body.request_id}.` : "";
  return new ApiError("internal", "Something went wrong", `The API answered ${status}.${request} Try again; if it stays, tell whoever runs it.`);
}

const dayChanged = () => new ApiError("changed", "The day was computed again", "Try again to see the new figures.");

async function listDays(signal) {
  const page = await get("v1/days", { limit: PAGE_OF_DAYS, cursor: known.cursor }, signal);
  known.days.push(...page.days);
  known.cursor = page.next_cursor;
}

async function listGenres(day, signal) {
  const first = await get(`v1/days/${day}/genres`, { limit: PAGE_OF_GENRES }, signal);
  for (let cursor = first.next_cursor; cursor; ) {
    const next = await get(`v1/days/${day}/genres`, { limit: PAGE_OF_GENRES, cursor }, signal);
    first.genres.push(...next.genres);
    cursor = next.next_cursor;
  }
  return first;
}

// --- Where we are

function place() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const day = parameters.get("day") ?? "";
  return { day: isDay(day) ? day : null, genre: parameters.get("genre") };
}

function link(day, genre = null) {
  const parts = [`day=${day}`, ...(genre === null ? [] : [`genre=${encodeURIComponent(genre)}`])];
  return `${location.pathname}${location.search}#${parts.join("&")}`;
}

const go = (day, genre = null) => { location.href = link(day, genre); };

// --- Views

async function render() {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const hasKey = sessionStorage.getItem(KEY) !== null;
  byId("forget").hidden = !hasKey;
  if (!hasKey) {
    byId("days").hidden = true;
    signInView();
    return;
  }
  loadingView();
  try {
    if (!known.days.length) await listDays(signal);
    if (!known.days.length) {
      emptyView();
      return;
    }
    const { day, genre } = place();
    const chosen = day ?? known.days[0].date;
    fillDays(chosen);
    await (genre === null ? dayView(chosen, signal) : genreView(chosen, genre, signal));
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof ApiError)) throw error;
    if (error.kind === "key") forget(error);
    else errorView(error);
  }
}

function signInView(error = null) {
  const input = el("input", { id: "key", class: "field", type: "password", required: true, autocomplete: "off", spellcheck: "false", "aria-describedby": "key-note", "aria-invalid": error ? "true" : null });
  const submit = (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, input.value.trim());
    render();
  };
  show("Sign in",
    el("section", { class: "panel sign-in" },
      el("h1", {}, "Open the KPIs"),
      el("form", { submit },
        error && el("p", { class: "error", role: "alert" }, `${error.title}. ${error.message}`),
        el("label", { for: "key" }, "API key"),
        input,
        el("p", { id: "key-note", class: "muted small" }, "It stays in this tab and is forgotten when you close it."),
        el("button", { class: "primary" }, "Open"))));
  input.focus();
}

function forget(error = null) {
  sessionStorage.removeItem(KEY);
  Object.assign(known, { days: [], cursor: null });
  byId("forget").hidden = true;
  byId("days").hidden = true;
  signInView(error);
}

function loadingView() {
  main.setAttribute("aria-busy", "true");
  byId("status").textContent = "Loading";
  const half = () => el("div", { class: "skeleton s-panel half" });
  main.replaceChildren(
    el("div", { class: "skeleton s-title" }),
    el("div", { class: "grid" }, el("div", { class: "skeleton s-cards" }), half(), half()));
}

function emptyView() {
  show("No KPIs yet", el("section", { class: "message" },
    icon("M3 16h14M5 16v-3M10 16V9M15 16v-5M3 4l14 0"),
    el("h1", {}, "No day has KPIs yet"),
    el("p", { class: "muted" }, "They appear here a few minutes after the first streams file has been uploaded."),
    el("button", { class: "primary", type: "button", click: render }, "Look again")));
}

function errorView(error) {
  const isUnknown = error.kind === "unknown";
  const { day } = place();
  const isListed = known.days.some((one) => one.date === day);
  const action = isUnknown
    ? el("a", { href: link(isListed ? day : known.days[0].date) }, isListed ? "All genres of the day" : "Go to the newest day")
    : el("button", { class: "primary", type: "button", click: render }, "Try again");
  show(error.title, el("section", { class: "message", role: "alert" },
    icon(isUnknown ? "M9 15a6 6 0 1 1 0-12 6 6 0 0 1 0 12zM13.5 13.5L17 17" : "M10 3l8 14H2zM10 8v4M10 14.5v.1"),
    el("h1", {}, error.title),
    el("p", { class: "muted" }, error.message),
    action));
}

/** Each answer is of one version of the day; a view shows answers of the same one only. */
function ofOneVersion(summary, answer) {
  if (summary.version !== answer.version) throw dayChanged();
}

async function dayView(day, signal) {
  const [summary, genres] = await Promise.all([get(`v1/days/${day}`, {}, signal), listGenres(day, signal)]);
  ofOneVersion(summary, genres);
  const earlier = known.days[known.days.findIndex((one) => one.date === day) + 1];
  const before = known.days.some((one) => one.date === day) ? earlier : undefined;
  show(longDate.format(dateOf(day)),
    el("div", { class: "title" },
      el("h1", {}, longDate.format(dateOf(day))),
      el("p", { class: "muted small" }, `Computed ${moment.format(new Date(summary.computed_at))} UTC`)),
    el("div", { class: "grid" },
      cards([
        ["Plays", whole.format(summary.listens), change(summary.listens, before?.listens, before)],
        ["Listeners", whole.format(summary.unique_listeners), change(summary.unique_listeners, before?.unique_listeners, before)],
        ["Plays per listener", decimals.format(summary.listens_per_listener), change(summary.listens_per_listener, before?.listens_per_listener, before)],
        ["Listening time", timeParts(summary.listening_time_ms), change(summary.listening_time_ms, before?.listening_time_ms, before)],
        ["Plays of unknown tracks", whole.format(summary.unknown_track_plays), `${percent.format(summary.unknown_track_plays / summary.listens)} of all plays`],
      ]),
      trendPanel(day),
      topGenresPanel(day, summary),
      countriesPanel(summary),
      genresPanel(day, genres.genres)));
}

async function genreView(day, genre, signal) {
  const name = encodeURIComponent(genre);
  const [summary, answer, series] = await Promise.all([
    get(`v1/days/${day}`, {}, signal),
    get(`v1/days/${day}/genres/${name}`, {}, signal),
    get(`v1/genres/${name}/days`, { limit: SERIES_DAYS }, signal),
  ]);
  ofOneVersion(summary, answer);
  const days = series.days.toReversed();
  const before = days[days.findIndex((one) => one.date === day) - 1];
  const versus = (field) => change(answer[field], before?.[field], before);
  show(`${genre}, ${longDate.format(dateOf(day))}`,
    el("a", { class: "back", href: link(day) }, icon("M12 4l-6 6 6 6"), `All genres of ${shortDate.format(dateOf(day))}`),
    el("div", { class: "title" },
      el("h1", {}, genre),
      el("p", { class: "muted small" }, longDate.format(dateOf(day)))),
    el("div", { class: "grid" },
      cards([
        ["Plays", whole.format(answer.listens), versus("listens") ?? `${percent.format(answer.listens / summary.listens)} of the day's plays`],
        ["Listeners", whole.format(answer.unique_listeners), versus("unique_listeners") ?? `${percent.format(answer.unique_listeners / summary.unique_listeners)} of the day's listeners`],
        ["Listening time", timeParts(answer.listening_time_ms), versus("listening_time_ms")],
        ["Average per listener", timeParts(answer.avg_listening_time_ms_per_user), versus("avg_listening_time_ms_per_user")],
        ["Average per play", timeParts(answer.avg_listening_time_ms_per_play), versus("avg_listening_time_ms_per_play")],
      ]),
      hoursPanel(answer.hours),
      songsPanel(answer.top_songs),
      seriesPanel(genre, day, days)));
}

// --- Parts of views

function cards(entries) {
  const figure = (value) => Array.isArray(value)
    ? value.flatMap(([number, unit]) => [String(number), el("small", {}, `\u00a0${unit}`), " "])
    : [value];
  return el("dl", { class: "cards" }, ...entries.map(([term, value, note]) =>
    el("div", { class: "card" }, el("dt", {}, term), el("dd", { class: "figure" }, ...figure(value)), el("dd", { class: "note" }, note ?? ""))));
}

/** How a figure differs from the day before in the list; null where there is none. */
function change(value, before, beforeDay) {
  if (!before) return null;
  const share = value / before - 1;
  const versus = ` vs ${shortDate.format(dateOf(beforeDay.date))}`;
  if (Math.abs(share) < 0.0005) return el("span", {}, `unchanged${versus}`);
  const text = percent.format(Math.abs(share));
  const [sign, word, kind] = share >= 0 ? ["▲", "up", "up"] : ["▼", "down", "down"];
  return el("span", {},
    el("span", { class: kind }, el("span", { "aria-hidden": "true" }, `${sign} `), el("span", { class: "visually-hidden" }, `${word} `), text),
    versus);
}

function bars(rows, total) {
  const most = Math.max(...rows.map((row) => row.listens), 1);
  return el("ol", { class: "bars" }, ...rows.map(({ name, listens }) => {
    const track = el("div", { class: "track", "aria-hidden": "true" });
    track.style.setProperty("--share", listens / most);
    return el("li", {},
      el("span", { class: "name" }, name),
      el("span", { class: "value" }, whole.format(listens), el("small", {}, percent.format(listens / total))),
      track);
  }));
}

function topGenresPanel(day, summary) {
  const rows = summary.top_genres.map(({ genre, listens }) => ({ name: el("a", { href: link(day, genre), title: genre }, genre), listens }));
  return panel("Top genres", { id: "top-genres", size: "half", note: "Plays and share of the day" },
    rows.length ? bars(rows, summary.listens) : el("p", { class: "muted" }, "No play of this day is of a track in the catalogue."));
}

function countriesPanel(summary) {
  const rows = Object.entries(summary.listens_by_country)
    .map(([country, listens]) => ({ name: SPECIAL_COUNTRIES[country] ?? country, listens }))
    .sort((one, other) => other.listens - one.listens || (one.name < other.name ? -1 : 1));
  const count = rows.filter((row) => !Object.values(SPECIAL_COUNTRIES).includes(row.name)).length;
  const list = el("div", { id: "country-list" }, bars(rows.slice(0, COUNTRIES_SHOWN), summary.listens));
  const toggle = el("button", { class: "link-button small", type: "button", "aria-expanded": "false", "aria-controls": "country-list", click: () => {
    const isOpen = toggle.getAttribute("aria-expanded") === "false";
    toggle.setAttribute("aria-expanded", String(isOpen));
    toggle.textContent = isOpen ? "Show fewer" : `Show all ${rows.length}`;
    list.replaceChildren(bars(isOpen ? rows : rows.slice(0, COUNTRIES_SHOWN), summary.listens));
  } }, `Show all ${rows.length}`);
  return panel("Plays by country", { id: "countries", size: "half", note: `${count} ${count === 1 ? "country" : "countries"}` },
    list, rows.length > COUNTRIES_SHOWN ? toggle : null);
}

const GENRE_COLUMNS = [
  { title: "Genre", field: "genre", ascending: true },
  { title: "Plays", field: "listens", text: (row) => whole.format(row.listens) },
  { title: "Listeners", field: "unique_listeners", text: (row) => whole.format(row.unique_listeners) },
  { title: "Listening time", field: "listening_time_ms", text: (row) => timeText(row.listening_time_ms) },
  { title: "Per listener", field: "avg_listening_time_ms_per_user", text: (row) => timeText(row.avg_listening_time_ms_per_user) },
  { title: "Per play", field: "avg_listening_time_ms_per_play", text: (row) => timeText(row.avg_listening_time_ms_per_play) },
];

function genresPanel(day, genres) {
  let order = { field: "listens", ascending: false };
  const body = el("tbody");
  const count = el("p", { role: "status" });
  const filter = el("input", { class: "field", type: "search", id: "filter", placeholder: "Find a genre", input: () => fill() });
  const heads = GENRE_COLUMNS.map((column) => el("th", { scope: "col" }, el("button", { type: "button", click: () => {
    const isSame = order.field === column.field;
    order = { field: column.field, ascending: isSame ? !order.ascending : Boolean(column.ascending) };
    fill();
  } }, column.title)));

  function fill() {
    const sought = filter.value.trim().toLocaleLowerCase();
    const rows = genres.filter((row) => row.genre.toLocaleLowerCase().includes(sought));
    const sign = order.ascending ? 1 : -1;
    rows.sort((one, other) => sign * compare(one[order.field], other[order.field]) || compare(one.genre, other.genre));
    heads.forEach((head, index) => {
      if (GENRE_COLUMNS[index].field === order.field) head.setAttribute("aria-sort", order.ascending ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    body.replaceChildren(...rows.map((row) => el("tr", {},
      el("th", { scope: "row" }, el("a", { href: link(day, row.genre) }, row.genre)),
      ...GENRE_COLUMNS.slice(1).map((column) => el("td", {}, column.text(row))))));
    count.textContent = sought ? `${rows.length} of ${genres.length} genres` : `${genres.length} genres`;
  }

  fill();
  const tools = el("div", { class: "tools" }, count, el("label", { class: "visually-hidden", for: "filter" }, "Find a genre"), filter);
  return panel("All genres", { id: "all-genres", note: tools },
    el("div", { class: "scroller tall", tabindex: "0", role: "group", "aria-labelledby": "all-genres" },
      el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body)));
}

function compare(one, other) {
  if (typeof one === "string") return one.localeCompare(other, LOCALE);
  return one - other;
}

function songsPanel(songs) {
  return panel("Top songs", { id: "top-songs", size: "narrow" },
    el("ol", { class: "songs" }, ...songs.map((song) => el("li", {},
      el("span", { class: "rank", "aria-hidden": "true" }, String(song.rank)),
      el("div", {},
        el("div", { class: "song" }, song.track_name ?? song.track_id),
        el("div", { class: "artists" }, song.artists?.replaceAll(";", ", ") ?? "Unknown artist")),
      el("span", { class: "count" }, plays(song.listens))))));
}

function tableOf(caption, columns, rows) {
  return el("details", {},
    el("summary", {}, "Show as a table"),
    el("div", { class: "scroller", tabindex: "0", role: "group", "aria-label": caption },
      el("table", {},
        el("caption", { class: "visually-hidden" }, caption),
        el("thead", {}, el("tr", {}, ...columns.map((column) => el("th", { scope: "col" }, column)))),
        el("tbody", {}, ...rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), ...rest.map((cell) => el("td", {}, cell))))))));
}

const MEASURE_TITLES = GENRE_COLUMNS.slice(1).map((column) => column.title);
const measures = (row) => GENRE_COLUMNS.slice(1).map((column) => column.text(row));

function hoursPanel(hours) {
  const listens = Array(24).fill(0);
  for (const row of hours) listens[Number(row.hour)] = row.listens;
  const peak = listens.indexOf(Math.max(...listens));
  const hourText = (hour) => `${String(hour).padStart(2, "0")}:00`;
  return panel("Plays by hour", { id: "hours", size: "wide", note: `Most at ${hourText(peak)} UTC: ${plays(listens[peak])}` },
    chartBox("chart", `Bars: plays in each hour of the day, most at ${hourText(peak)} UTC with ${plays(listens[peak])}`, (box) => hoursChart(box, listens)),
    tableOf("Figures by hour", ["Hour", ...MEASURE_TITLES], hours.map((row) => [hourText(row.hour), ...measures(row)])));
}

function daysChart(label, days, day) {
  return chartBox("chart low", label, (box) => dayLine(box, days, day));
}

function trendPanel(day) {
  const days = known.days.slice(0, SERIES_DAYS).toReversed();
  if (days.length < 2) return null;
  return panel("Plays by day", { id: "trend", note: `${days.length} days` },
    daysChart(`Line: plays on ${days.length} days, from ${shortDate.format(dateOf(days[0].date))} to ${shortDate.format(dateOf(days.at(-1).date))}`, days, day),
    tableOf("Figures by day", ["Day", "Plays", "Listeners", "Plays per listener", "Listening time"],
      days.toReversed().map((row) => [mediumDate.format(dateOf(row.date)), whole.format(row.listens), whole.format(row.unique_listeners), decimals.format(row.listens_per_listener), timeText(row.listening_time_ms)])));
}

function seriesPanel(genre, day, days) {
  if (days.length < 2) {
    return panel("Day by day", { id: "series" }, el("p", { class: "muted" }, `${longDate.format(dateOf(day))} is the only day with plays of ${genre} so far. The line starts with the second.`));
  }
  return panel("Day by day", { id: "series", note: `Plays on ${days.length} days` },
    daysChart(`Line: plays of ${genre} on ${days.length} days, from ${shortDate.format(dateOf(days[0].date))} to ${shortDate.format(dateOf(days.at(-1).date))}`, days, day),
    tableOf("Figures by day", ["Day", ...MEASURE_TITLES], days.toReversed().map((row) => [mediumDate.format(dateOf(row.date)), ...measures(row)])));
}

// --- Charts

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function chartBox(classes, label, draw) {
  const box = el("div", { class: classes, role: "img", "aria-label": label });
  drawings.set(box, draw);
  return box;
}

/** Draws the charts that the view has; again, when the colours have changed. */
function drawCharts() {
  for (const chart of charts.splice(0)) chart.destroy();
  for (const [box, draw] of drawings) {
    if (box.isConnected) charts.push(draw(box));
    else drawings.delete(box);
  }
}

function options(box, more) {
  const quiet = { stroke: color("--muted"), ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    legend: { show: false },
    padding: [12, 8, 0, 0],
    ...more,
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false }, ...more.cursor },
    scales: { ...more.scales, y: { range: (_, __, most) => [0, Math.max(most * 1.08, 1)] } },
    axes: [
      { ...quiet, grid: { show: false }, size: 32, ...more.xAxis },
      { ...quiet, grid: { stroke: color("--line"), width: 1 }, size: 46, gap: 6, incrs: [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500].flatMap((step) => [step, step * 1000, step * 1e6]).sort((one, other) => one - other), values: (_, ticks) => ticks.map((tick) => compact.format(tick)) },
    ],
  };
}

function hoursChart(box, values) {
  const { uPlot } = window;
  const hours = values.map((_, hour) => hour);
  return new uPlot(options(box, {
    scales: { x: { time: false, range: [-0.6, 23.6] } },
    xAxis: { splits: () => hours.filter((hour) => hour % (box.clientWidth < 420 ? 6 : 3) === 0), values: (_, ticks) => ticks.map((hour) => String(hour).padStart(2, "0")) },
    series: [{}, { fill: color("--accent"), stroke: color("--accent"), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.72, 34], radius: 0.22 }) }],
    plugins: [tooltip((hour) => [plays(values[hour]), `${String(hour).padStart(2, "0")}:00 – ${String(hour).padStart(2, "0")}:59 UTC`])],
  }), [hours, values], box);
}

function dayLine(box, rows, day) {
  const { uPlot } = window;
  const days = rows.map((row) => row.date);
  const values = rows.map((row) => row.listens);
  const chosen = days.indexOf(day);
  const markChosen = (chart) => {
    if (chosen < 0) return;
    const [x, y] = [chart.valToPos(chart.data[0][chosen], "x", true), chart.valToPos(values[chosen], "y", true)];
    const { ctx } = chart;
    ctx.save();
    ctx.beginPath();
    ctx.arc(x, y, 5 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fillStyle = color("--accent");
    ctx.strokeStyle = color("--card");
    ctx.lineWidth = 2.5 * devicePixelRatio;
    ctx.fill();
    ctx.stroke();
    ctx.restore();
  };
  return new uPlot(options(box, {
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { points: { show: true, size: 8, fill: color("--accent"), stroke: color("--card") } },
    scales: { x: { time: true } },
    xAxis: { space: 70, incrs: [1, 2, 3, 7, 14, 28, 56].map((step) => step * 86400), values: (_, ticks) => ticks.map((tick) => shortDate.format(new Date(tick * 1000))) },
    padding: [12, 24, 0, 8],
    series: [{}, { stroke: color("--accent"), width: 2, fill: color("--soft"), points: { show: days.length <= 31, size: 6, fill: color("--accent"), stroke: color("--accent") } }],
    hooks: { draw: [markChosen] },
    plugins: [tooltip((index) => [plays(values[index]), mediumDate.format(dateOf(days[index]))], (index) => go(days[index], place().genre))],
  }), [days.map((one) => dateOf(one).valueOf() / 1000), values], box);
}

/** A box beside the pointer with what is under it; a click, where it leads somewhere, goes there. */
function tooltip(lines, onClick = null) {
  const tip = el("div", { class: "tip", hidden: true });
  return {
    hooks: {
      init: (chart) => {
        chart.over.append(tip);
        chart.over.addEventListener("mouseleave", () => { tip.hidden = true; });
        if (onClick) {
          chart.over.style.cursor = "pointer";
          chart.over.addEventListener("click", () => { if (chart.cursor.idx !== null) onClick(chart.cursor.idx); });
        }
      },
      setCursor: (chart) => {
        const index = chart.cursor.idx;
        tip.hidden = index === null || index === undefined || chart.cursor.left < 0;
        if (tip.hidden) return;
        const [strong, rest] = lines(index);
        tip.replaceChildren(el("strong", {}, strong), rest);
        const half = tip.offsetWidth / 2;
        const left = chart.valToPos(chart.data[0][index], "x");
        tip.style.left = `${Math.min(Math.max(left, half), chart.over.clientWidth - half)}px`;
        tip.style.top = `${Math.max(chart.valToPos(chart.data[1][index], "y"), 46)}px`;
      },
    },
  };
}

// --- The bar

function fillDays(day) {
  const dates = known.days.map((one) => one.date);
  const listed = dates.includes(day) ? dates : [...dates, day].sort().reverse();
  const select = byId("day");
  select.replaceChildren(...listed.map((date) => el("option", { value: date, selected: date === day }, mediumDate.format(dateOf(date)))));
  select.value = day;
  byId("days").hidden = false;
  const index = listed.indexOf(day);
  byId("later").disabled = index === 0;
  byId("earlier").disabled = index === listed.length - 1 && known.cursor === null;
}

async function step(by) {
  const select = byId("day");
  if (select.selectedIndex + by >= select.options.length && known.cursor) {
    await listDays(loading.signal);
    fillDays(select.value);
  }
  const option = select.options[select.selectedIndex + by];
  if (option) go(option.value, place().genre);
}

byId("day").addEventListener("change", (event) => go(event.target.value, place().genre));
byId("earlier").addEventListener("click", () => step(1));
byId("later").addEventListener("click", () => step(-1));
byId("forget").addEventListener("click", () => forget());
window.addEventListener("hashchange", render);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
new ResizeObserver(() => {
  for (const chart of charts) {
    const box = chart.root.parentElement;
    if (box.clientWidth !== chart.width) chart.setSize({ width: box.clientWidth, height: box.clientHeight });
  }
}).observe(main);

render();
