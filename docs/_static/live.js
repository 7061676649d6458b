// Live examples: edit and run the code blocks of the class "live" (docs/live_examples.py chooses them).
// The first "Run" starts Python in a worker. All examples of the page use the same Python.
(() => {
  if (!location.protocol.startsWith("http")) return; // a page that was opened from a file cannot start a worker
  const script = document.currentScript;
  let worker = null;
  let finish = null; // ends the wait for the example that runs
  let turn = Promise.resolve(); // examples run one after another
  let stops = 0;

  // The code of a block: the lines after the prompts, without the outputs; or every line if there are no prompts.
  function code(block) {
    const lines = block.querySelector("pre").textContent.trimEnd().split("\n");
    if (!lines[0].startsWith(">>>")) return lines.join("\n");
    let inside = false;
    const typed = lines.filter((line) => (inside = line.startsWith(">>>") || (inside && line.startsWith("..."))));
    return typed.map((line) => line.slice(4)).join("\n");
  }

  function endPython() {
    worker?.terminate();
    worker = null;
    for (const example of examples) example.ran = false;
  }

  function stop() {
    stops += 1;
    endPython();
    finish({ stopped: true });
  }

  // Run code, and return what it printed and drew. `started` is called when Python is ready.
  function execute(source, started) {
    worker ??= new Worker(new URL("live-worker.js", script.src));
    return new Promise((resolve) => {
      finish = resolve;
      worker.onmessage = ({ data }) => (data.started ? started() : resolve(data));
      worker.onerror = (event) => resolve({ lost: true, failed: true, text: event.message, pictures: [] });
      worker.postMessage({ pyodide: script.dataset.pyodide, source });
    });
  }

  class Example {
    constructor(block, index) {
      const add = (tag, where, properties) => {
        const made = Object.assign(document.createElement(tag), properties);
        return where(made), made;
      };
      this.number = index + 1;
      this.block = block;
      this.original = code(block);
      this.docstring = block.closest("dl.py"); // null on other pages
      this.ran = this.waits = false;
      this.output = add("div", (made) => block.after(made), { className: "live-output" });
      const tools = add("div", (made) => block.after(made), { className: "live-tools" });
      this.editor = add("textarea", (made) => block.after(made), { className: "live-editor", wrap: "off" });
      this.editor.setAttribute("aria-label", `Code of example ${this.number}`);
      Object.assign(this.editor, { value: this.original, hidden: true, spellcheck: false });
      this.editor.oninput = () => this.changed();
      this.editor.onkeydown = (event) => this.key(event);
      const inside = (made) => tools.append(made);
      this.runButton = add("button", inside, { type: "button", className: "live-run", onclick: () => this.press() });
      this.editButton = add("button", inside, { type: "button", className: "live-edit", onclick: () => this.edit() });
      this.status = add("span", inside, { className: "live-status", role: "status" });
      this.say("", "Run");
      this.name(this.editButton, "Edit");
    }

    name(button, text) {
      button.textContent = text;
      button.setAttribute("aria-label", `${text} example ${this.number}`);
    }

    say(text, action) {
      this.waits = action === "Stop";
      this.status.textContent = text;
      this.name(this.runButton, action);
    }

    changed() {
      this.ran = false;
      this.editor.rows = this.editor.value.split("\n").length + 1; // one more for a scroll bar
    }

    key(event) {
      if (event.key !== "Enter" || !event.shiftKey) return;
      event.preventDefault();
      if (!this.waits) this.press();
    }

    edit() {
      const opens = this.editor.hidden;
      this.editor.hidden = !opens;
      this.block.hidden = opens;
      this.editor.value = this.original;
      this.changed();
      this.name(this.editButton, opens ? "Reset" : "Edit");
      if (opens) this.editor.focus();
      if (!this.waits) this.status.textContent = opens ? "Shift+Enter runs the code." : "";
    }

    // Run this example after the examples above it that have not run yet. While they wait or run, "Stop" ends all.
    press() {
      if (this.waits) return stop();
      const first = (other) => other.docstring === this.docstring && other.number < this.number && !other.ran;
      const series = [...examples.filter((other) => first(other) && !other.waits), this];
      for (const example of series) example.say("Waiting…", "Stop");
      const before = stops;
      turn = turn.then(async () => {
        let worked = true;
        for (const example of series) {
          if (stops !== before) example.say("Stopped. The next run starts Python again.", "Run");
          else if (!worked) example.say("Not run: an example above failed.", "Run");
          else worked = await example.run();
        }
      });
    }

    async run() {
      let start;
      const started = () => {
        start = performance.now();
        this.say("Running…", "Stop");
      };
      this.say(worker ? "Running…" : "Loading Python (about 25 MB the first time)…", "Stop");
      const result = await execute(this.editor.value, started);
      if (result.stopped) {
        this.say("Stopped. The next run starts Python again.", "Run");
        return false;
      }
      if (result.lost) endPython();
      this.ran = !result.failed;
      this.say(result.failed ? "Error." : `Done in ${((performance.now() - start) / 1000).toFixed(1)} s.`, "Run");
      this.show(result);
      return this.ran;
    }

    show({ text, failed, pictures }) {
      const printed = document.createElement("div");
      printed.className = "highlight";
      printed.append(document.createElement("pre"));
      printed.firstChild.textContent = text.trimEnd();
      const images = pictures.map(([png, alt]) => Object.assign(new Image(), { src: `data:image/png;base64,${png}`, alt }));
      this.output.replaceChildren(...(text ? [printed] : []), ...images);
      this.output.classList.toggle("live-failed", failed);
      makeScrollAreasFocusable(); // site.js
    }
  }

  const examples = [...document.querySelectorAll("div.live")].map((block, index) => new Example(block, index));
})();
