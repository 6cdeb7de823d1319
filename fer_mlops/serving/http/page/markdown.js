// Markdown to elements: headings, tables, lists, paragraphs, bold and code. The rest, such as HTML and
// links, stays text: the description of a version may come from a stranger.

import { make } from "./dom.js";

/** Returns the elements of a Markdown text; its title, a heading of the first level, is left out. */
export function rendered(text) {
  const elements = [];
  let open = { kind: "", lines: [] };
  const close = () => {
    if (open.lines.length) elements.push(BLOCKS[open.kind](open.lines));
    open = { kind: "", lines: [] };
  };
  for (const line of text.split(/\r?\n/)) {
    const kind = kindOf(line);
    if (kind !== open.kind || kind === "heading") close();
    open.kind = kind;
    if (kind !== "blank" && kind !== "title") open.lines.push(line);
  }
  close();
  return elements;
}

function kindOf(line) {
  if (!line.trim()) return "blank";
  if (line.startsWith("# ")) return "title";
  if (/^#{2,6} /.test(line)) return "heading";
  if (line.startsWith("|")) return "table";
  return /^[-*] /.test(line) ? "list" : "paragraph";
}

const BLOCKS = {
  heading: ([line]) => make("h4", {}, ...spans(line.replace(/^#+ /, ""))),
  paragraph: (lines) => make("p", {}, ...spans(lines.join(" "))),
  list: (lines) => make("ul", {}, ...lines.map((line) => make("li", {}, ...spans(line.slice(2))))),
  table,
};

function table(lines) {
  const [head, ...rows] = lines
    .filter((line) => !/^[|\s:-]+$/.test(line))
    .map((line) => line.replace(/^\||\|\s*$/g, "").split("|"));
  const row = (tag, cells) => make("tr", {}, ...cells.map((cell) => make(tag, {}, ...spans(cell.trim()))));
  const body = make("tbody", {}, ...rows.map((cells) => row("td", cells)));
  const whole = make("table", {}, make("thead", {}, ...(head ? [row("th", head)] : [])), body);
  return make("div", { class: "wide", tabindex: "0" }, whole);
}

function spans(text) {
  return text.split(/(\*\*[^*]+\*\*|`[^`]+`)/).map((part) => {
    if (/^\*\*[^*]+\*\*$/.test(part)) return make("b", {}, part.slice(2, -2));
    return /^`[^`]+`$/.test(part) ? make("code", {}, part.slice(1, -1)) : part;
  });
}
