// Give the keyboard every area that scrolls sideways: a reader without a mouse reaches it with Tab and the arrow keys.
function makeScrollAreasFocusable() {
  const areas = "div.highlight pre, .table-wrapper, mjx-container[display='true'], .cell_output, .picture";
  for (const area of document.querySelectorAll(areas)) {
    if (area.scrollWidth > area.clientWidth) {
      area.tabIndex = 0;
      area.setAttribute("role", "region");
      const names = { pre: "code", "mjx-container": "formula", ".picture": "picture" };
      area.setAttribute("aria-label", names[Object.keys(names).find((name) => area.matches(name))] ?? "table");
    }
  }
}
// The captions of the sidebar are headings; give them a level.
function giveCaptionsALevel() {
  for (const caption of document.querySelectorAll("p.caption[role='heading']")) caption.setAttribute("aria-level", "2");
}
// On a phone, a picture is too small to read. Give each picture that does not fit a button that shows its full size.
function offerFullSize() {
  for (const picture of document.querySelectorAll("article img")) {
    const frame = picture.closest(".picture") ?? framed(picture);
    const button = frame.nextElementSibling;
    button.hidden = picture.naturalWidth < 1.25 * frame.clientWidth && !frame.matches(".full-size");
  }
}
function framed(picture) {
  const frame = Object.assign(document.createElement("div"), { className: "picture" });
  const button = Object.assign(document.createElement("button"), { type: "button", className: "enlarge" });
  picture.replaceWith(frame);
  frame.append(picture);
  frame.after(button);
  button.textContent = "Enlarge the picture";
  button.onclick = () => {
    const full = frame.classList.toggle("full-size");
    button.textContent = full ? "Fit the picture to the page" : "Enlarge the picture";
    makeScrollAreasFocusable();
  };
  return frame;
}
// A line never starts with the full stop that follows a formula, nor breaks inside an option such as --batch.
function keepTogether() {
  for (const formula of document.querySelectorAll("article span.math")) {
    const before = formula.previousSibling?.data?.match(/\S{1,9}$/)?.[0].length ?? 0;
    const after = formula.nextSibling?.data?.match(/^\S{1,9}/)?.[0].length ?? 0;
    if (!before && !after) continue;
    const range = document.createRange();
    range.setStartBefore(formula);
    range.setEndAfter(formula);
    if (before) range.setStart(formula.previousSibling, formula.previousSibling.length - before);
    if (after) range.setEnd(formula.nextSibling, after);
    range.surroundContents(Object.assign(document.createElement("span"), { className: "together" }));
  }
  for (const word of document.querySelectorAll("article code .pre")) {
    if (/^--?\w/.test(word.textContent)) word.classList.add("together");
  }
}
// Lines of code and of printed text wrap. The next lines of a wrapped line start further to the right (site.css).
function hangLines() {
  for (const pre of document.querySelectorAll("article div.highlight pre")) {
    if ([...pre.children].some((part) => part.textContent.includes("\n"))) continue; // a source page: its parts have lines
    const lines = pre.innerHTML.split("\n").map((html) => {
      if (!html) return ["\n"];
      const line = Object.assign(document.createElement("span"), { className: "line", innerHTML: html });
      line.style.setProperty("--hang", `${line.textContent.match(/^(>>> |\.\.\. )? */)[0].length + 2}ch`);
      return [line, "\n"];
    });
    const isPrinted = pre.closest(".cell_output, .highlight-text, .highlight-none");
    pre.classList.toggle("columns", isPrinted !== null && /\S {2,}\S/.test(pre.textContent));
    pre.replaceChildren(...lines.flat().slice(0, -1));
  }
}
// On a phone, a table that is too wide shows each row as a list, with the name of the column before each value (site.css).
const onPhone = matchMedia("(max-width: 46em)");
function stackWideTables() {
  for (const table of document.querySelectorAll("article :is(table.docutils, .cell_output table)")) {
    table.classList.remove("stacked");
    if (!onPhone.matches || table.parentElement.scrollWidth <= table.parentElement.clientWidth) continue;
    const heads = [...table.querySelectorAll("thead tr:last-child > *")].map((head) => head.textContent.trim());
    for (const row of table.tBodies[0].rows) {
      for (const [index, cell] of [...row.cells].entries()) cell.dataset.column = index ? heads[index] ?? "" : "";
    }
    table.classList.add("stacked");
  }
}
// A question for a number: the field in front of its folded answer says whether a number is right.
function askForNumbers() {
  for (const answer of document.querySelectorAll("details.number")) {
    const form = Object.assign(document.createElement("form"), { className: "number-question" });
    form.innerHTML = "<label>Your answer <input size='10' autocomplete='off'></label> <button>Check</button> <output></output>";
    const [given, said] = [form.querySelector("input"), form.querySelector("output")];
    form.onsubmit = (event) => {
      event.preventDefault();
      const right = isRight(given.value, answer.dataset.answer);
      if (right === null) said.value = "Write a number, such as 12, 0.25 or 1/3.";
      else said.value = right ? "Right." : "Not yet. Compute it again, or open the answer.";
      said.classList.toggle("right", right === true);
    };
    answer.before(form);
  }
}
// The rule of nn.testing.quick_questions: equal to an integer, or at most 1 % from a number with a decimal point.
function isRight(text, answer) {
  const withCommas = /^\s*[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?\s*$/; // 1,638,400, but not 1,5
  const plain = (part) => (withCommas.test(part) ? part.replaceAll(",", "") : part);
  const [above, below = "1"] = text.split("/").map((part) => (part.trim() ? Number(plain(part)) : NaN));
  const [value, right] = [above / below, Number(answer)];
  if (!Number.isFinite(value)) return null;
  const tolerance = /^-?\d+$/.test(answer) ? 1e-9 : 0.01;
  return Math.abs(value - right) <= tolerance * Math.max(Math.abs(value), Math.abs(right));
}
// The search page: pages that explain come before tables of measurements, and formulas lose their delimiters.
function tuneSearch() {
  if (typeof Search === "undefined") return; // Sphinx's searchtools.js, on the search page only
  const bonus = [[/^(derivations|notebooks)\//, 2], [/^gradcheck$/, 8], [/^(results|performance)\/|^gradcheck\/(planted|changed)/, -8]];
  Scorer.score = ([page, , , , score]) => score + (bonus.find(([pages]) => pages.test(page))?.[1] ?? 0);
  const plain = Search.htmlToText;
  Search.htmlToText = (html, anchor) => plain(html, anchor).replace(/\\\[.*?\\\]/gs, "…").replace(/\\[()]/g, "");
}
document.addEventListener("DOMContentLoaded", tuneSearch); // before the search starts
document.addEventListener("DOMContentLoaded", keepTogether); // before the mathematics is typeset
document.addEventListener("DOMContentLoaded", hangLines);
document.addEventListener("DOMContentLoaded", askForNumbers);
addEventListener("load", giveCaptionsALevel);
addEventListener("load", offerFullSize);
addEventListener("resize", offerFullSize);
addEventListener("load", stackWideTables);
addEventListener("resize", stackWideTables);
addEventListener("load", makeScrollAreasFocusable);
addEventListener("resize", makeScrollAreasFocusable);
