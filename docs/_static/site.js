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
addEventListener("load", makeScrollAreasFocusable);
addEventListener("resize", makeScrollAreasFocusable);
