// Give the keyboard every area that scrolls sideways: a reader without a mouse reaches it with Tab and the arrow keys.
function makeScrollAreasFocusable() {
  const areas = "div.highlight pre, .table-wrapper, mjx-container[display='true'], .cell_output";
  for (const area of document.querySelectorAll(areas)) {
    if (area.scrollWidth > area.clientWidth) {
      area.tabIndex = 0;
      area.setAttribute("role", "region");
      area.setAttribute("aria-label", area.matches("pre") ? "code" : area.matches("mjx-container") ? "formula" : "table");
    }
  }
}
// The captions of the sidebar are headings; give them a level.
function giveCaptionsALevel() {
  for (const caption of document.querySelectorAll("p.caption[role='heading']")) caption.setAttribute("aria-level", "2");
}
addEventListener("load", giveCaptionsALevel);
addEventListener("load", makeScrollAreasFocusable);
addEventListener("resize", makeScrollAreasFocusable);
