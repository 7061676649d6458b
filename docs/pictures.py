"""The README's and the front page's pictures, taken out of the executed notebooks: make notebooks ends with it.

They are the tutorials' own, so what is shown is what a reader gets by running them. Needs nothing but Python.
"""

import base64
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parent / "notebooks"
PICTURES = {  # file: (notebook, which of its pictures, counted from 1)
    "mistakes": ("14", 2),
    "gradient-path": ("12", 3),
    "what-a-unit-learned": ("13", 5),
}


def pictures_of(notebook: Path) -> list[bytes]:
    """Every PNG that a notebook's cells put out, in order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    encoded = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return [base64.b64decode("".join(lines)) for lines in encoded]


def chosen() -> dict[Path, bytes]:
    """The pictures' files, and what belongs into them."""
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
