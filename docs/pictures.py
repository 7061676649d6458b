"""Extract the figures of the README and of the front page from the executed notebooks (make notebooks runs this).

The figures are those of the tutorials, so a reader who runs the tutorials gets the same ones. Needs only Python.
"""

import base64
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parent / "notebooks"
PICTURES = {  # file: (notebook, number of the figure in it, counted from 1)
    "mistakes": ("14", 2),
    "gradient-path": ("12", 3),
    "what-a-unit-learned": ("13", 5),
}


def pictures_of(notebook: Path) -> list[bytes]:
    """Return every PNG in the output of a notebook, in order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    encoded = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return [base64.b64decode("".join(lines)) for lines in encoded]


def chosen() -> dict[Path, bytes]:
    """Return the path and the content of each figure."""
    found = {}
    for name, (number, which) in PICTURES.items():
        (notebook,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
        found[HERE / "images" / f"{name}.png"] = pictures_of(notebook)[which - 1]
    return found


def main() -> None:
    for path, content in chosen().items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        print(path.relative_to(HERE.parent))


if __name__ == "__main__":
    main()
