"""A notebook of the built site in JupyterLite, in headless Chromium."""

import time
from pathlib import Path

from browser import Page

WIDGET = "jupyterapp.shell.currentWidget"
CELLS = f"{WIDGET}.content.model.sharedModel.cells.filter(cell => cell.cell_type === 'code')"
FONTS = "Matplotlib is building the font cache; this may take a moment.\n"  # on stderr, once for each new page


def is_harmless(text):
    """Return True for text on stderr that is no warning: the message about fonts, a progress bar, or an empty line."""
    return text == FONTS or text.startswith("\r") or "step/s" in text or "s/step" in text or not text.strip()


class NotebookPage:
    """Opens a notebook and waits until its kernel is ready. `seconds` is the time since the start of loading."""

    def __init__(self, address, name):
        self.page, self._start = Page(), time.monotonic()
        self.page.open(f"{address}/lite/notebooks/index.html?path={name}")
        self.page.wait(f"window.jupyterapp?.shell?.currentWidget?.context?.isReady && {CELLS}.length", seconds=60)
        self.page.wait(f"{WIDGET}.sessionContext.session?.kernel?.status === 'idle'", seconds=180)

    def seconds(self):
        return time.monotonic() - self._start

    def write(self, tag, source):
        """Replace the source of the cell with the tag."""
        tagged = f"{CELLS}.find(cell => cell.metadata?.tags?.includes({tag!r}))"
        self.page.js(f"{tagged}.setSource({source!r})")

    def run_all(self, seconds=300):
        """Run all cells, and return the seconds until the first cell of the notebook was done and until all were.

        The cell before it installs the package.
        """
        # Clear the saved outputs and counts first: otherwise they look like results of this run.
        self.page.js("jupyterapp.commands.execute('notebook:clear-all-cell-outputs'), 0")
        self.page.wait(f"{CELLS}.every(cell => cell.execution_count === null)", seconds=30)
        self.page.js("jupyterapp.commands.execute('notebook:run-all-cells'), 0")
        first, end = None, time.monotonic() + seconds
        while time.monotonic() < end:
            counts = self.page.js(f"{CELLS}.map(cell => cell.execution_count)")
            first = self.seconds() if first is None and counts[1] is not None else first
            if None not in counts or any(out["output_type"] == "error" for out in self.outputs()):
                return first, self.seconds()
            time.sleep(0.25)
        raise TimeoutError(f"only {len(counts) - counts.count(None)} of {len(counts)} cells ran in {seconds} s")

    def outputs(self):
        """Return the outputs of all cells, in order."""
        return [output for cell in self.page.js(f"{CELLS}.map(cell => cell.toJSON().outputs)") for output in cell]

    def printed(self):
        """Return all text that the cells printed."""
        texts = [output["text"] for output in self.outputs() if output["output_type"] == "stream"]
        return "".join("".join(text) for text in texts)

    def mistakes(self):
        """Return the outputs that are errors or warnings."""
        outputs = self.outputs()
        errors = [out for out in outputs if out["output_type"] == "error"]
        warnings = [out for out in outputs if out.get("name") == "stderr" and not is_harmless("".join(out["text"]))]
        return errors + warnings

    def megabytes(self):
        """Return the memory of the largest process of this browser: the one with the page and its kernel."""
        parents, sizes = {}, {}
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
            except OSError:  # the process has ended
                continue
            parents[int(fields["Pid"])] = int(fields["PPid"])
            sizes[int(fields["Pid"])] = int(fields.get("VmHWM", "0 kB").split()[0]) / 1000

        def ours(pid):
            while pid in parents and pid != self.page._process.pid:
                pid = parents[pid]
            return pid == self.page._process.pid

        return max(size for pid, size in sizes.items() if ours(pid))

    def close(self):
        self.page.close()
