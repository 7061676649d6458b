"""Animation: pictures with a slider, for a notebook, a web page, or a GIF."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..checks import check_instance
from ..serialization import error_names, write_atomically

DPI = 80

PAGE = """\
<div id="{id}" style="max-width: {width}px">
<img src="data:image/png;base64,{still}" alt="{alt}" style="width: 100%; background: white">
<div style="display: none; gap: 0.6em; align-items: center">
<button type="button">Play</button>
<input type="range" min="0" max="{last}" value="{last}" aria-label="{alt}" style="flex: 1">
<output style="min-width: 11em"></output>
</div>
</div>
<script>
(function () {{
  const root = document.getElementById("{id}");
  const frames = {frames}, labels = {labels};
  const image = root.querySelector("img"), bar = root.querySelector("div"), slider = root.querySelector("input");
  const button = root.querySelector("button"), label = root.querySelector("output");
  let timer = null;
  function show(k) {{
    slider.value = k;
    image.src = "data:image/png;base64," + frames[k];
    label.textContent = labels[k];
  }}
  function stop() {{
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  }}
  function next() {{
    const k = Number(slider.value) + 1;
    if (k >= frames.length) stop();
    else show(k);
  }}
  button.onclick = function () {{
    if (timer !== null) return stop();
    if (Number(slider.value) === frames.length - 1) show(0);
    button.textContent = "Stop";
    timer = setInterval(next, {pause});
  }};
  slider.oninput = function () {{ stop(); show(Number(slider.value)); }};
  bar.style.display = "flex";
  show(frames.length - 1);
}})();
</script>
"""


class Animation:
    """A sequence of pictures. A notebook shows it with a slider and a button that plays it.

    The slider works in a web page without a Python kernel. Where scripts are not allowed, as on GitHub, you see the
    last picture. Programs that prefer a PNG picture to HTML, such as GitLab's viewer, also show the last picture.

    Parameters
    ----------
    draw : function of (figure, k)
        Draws picture number k into an empty Matplotlib figure.
    labels : sequence of str
        A text for each picture, shown beside the slider.
    size : (float, float)
        The width and the height in inches.
    alt : str
        A description of the pictures, for readers who cannot see them.
    fps : float
        The number of pictures in a second, above 0.

    Raises
    ------
    ValueError
        There are no labels, or `fps` is not above 0.

    Examples
    --------
    >>> def draw(figure, k):
    ...     figure.add_subplot().plot([0, k])
    >>> animation = Animation(draw, ["flat", "up", "steep"], alt="a line that gets steeper")
    >>> len(animation), animation.png(0)[1:4]
    (3, b'PNG')
    """

    def __init__(
        self,
        draw: Callable[[Any, int], None],
        labels: Sequence[str],
        size: tuple[float, float] = (7.0, 4.0),
        alt: str = "",
        fps: float = 2.0,
    ):
        if not len(labels):
            raise ValueError("Animation: labels must have a text for each picture, got none")
        if not fps > 0:
            raise ValueError(f"Animation: fps must be above 0, got {fps}")
        check_instance("Animation", "alt", alt, str)
        self.draw, self.labels, self.size, self.alt, self.fps = draw, [str(t) for t in labels], size, alt, fps

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<Animation of {len(self)} pictures>"

    def figure(self, k: int) -> Any:
        """Return a Matplotlib figure with picture number `k`. The last picture has the number -1."""
        figure = self._empty_figure()
        self.draw(figure, range(len(self))[k])
        return figure

    def png(self, k: int) -> bytes:
        """Return picture number `k` as the bytes of a PNG file of 256 colours, which are enough for a plot."""
        from PIL import Image

        full, small = io.BytesIO(), io.BytesIO()
        self.figure(k).savefig(full, format="png", dpi=DPI)
        Image.open(full).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
        return small.getvalue()

    def html(self) -> str:
        """Return the pictures, the slider and the button as HTML with a script, for a page without a kernel."""
        frames = [base64.b64encode(self.png(k)).decode() for k in range(len(self))]
        return PAGE.format(
            id="animation-" + hashlib.sha256("".join(frames).encode()).hexdigest()[:12],
            width=round(self.size[0] * 1.25 * DPI),
            still=frames[-1],
            last=len(self) - 1,
            alt=html.escape(self.alt, quote=True),
            frames=json.dumps(frames),
            labels=json.dumps(self.labels).replace("</", "<\\/"),
            pause=round(1000 / self.fps),
        )

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_png_(self) -> str:
        return base64.b64encode(self.png(-1)).decode()

    def save(self, path: Any) -> None:
        """Write the animation to a file. If this fails, no partial file remains.

        Parameters
        ----------
        path : str or path
            The suffix of the file gives the format: ``.gif``, ``.html``, or ``.mp4``, which needs the program ffmpeg.

        Raises
        ------
        ValueError
            The file has another suffix, or ffmpeg is not installed.
        """
        from matplotlib.animation import FFMpegWriter, PillowWriter

        kind = Path(path).suffix.lower()
        if kind == ".html":
            return write_atomically(path, f"<!doctype html><meta charset='utf-8'>\n{self.html()}".encode())
        writers = {".gif": PillowWriter, ".mp4": FFMpegWriter}
        if kind not in writers:
            raise ValueError(f"an animation can be saved as .gif, .html or .mp4, got {Path(path).name!r}")
        if not writers[kind].isAvailable():
            raise ValueError("saving as .mp4 needs the program ffmpeg: install it, or save as .gif or .html")
        figure, writer = self._empty_figure(), writers[kind](fps=self.fps)
        with error_names(path), tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"animation{kind}"
            with writer.saving(figure, str(file), DPI):
                for k in range(len(self)):
                    figure.clear()
                    self.draw(figure, k)
                    writer.grab_frame()
            write_atomically(path, file.read_bytes())

    def _empty_figure(self) -> Any:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=self.size, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        return figure
