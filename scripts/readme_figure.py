"""Draw the first figure of the README: Burgers' equation by the default recipe.

    python scripts/readme_figure.py [--steps 6000] [--out docs/_static/burgers.webp]

Solution, reference, error and loss as `solution.plot()` shows them. WebP keeps all colours in a
small file.
"""

import argparse
import io
from pathlib import Path

WHERE = Path(__file__).parents[1] / "docs" / "_static" / "burgers.webp"
WIDTH = 1240  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, help="default: the recipe's")
    parser.add_argument("--out", type=Path, default=WHERE, help="where the figure is written")
    arguments = parser.parse_args()

    from PIL import Image

    import pinops as po

    solution = po.solve("burgers", steps=arguments.steps)
    drawn = io.BytesIO()
    solution.plot().savefig(drawn, format="png", dpi=200, bbox_inches="tight")
    picture = Image.open(drawn).convert("RGB")
    size = (WIDTH, round(WIDTH * picture.height / picture.width))
    small = picture.resize(size, Image.Resampling.LANCZOS)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    small.save(arguments.out, lossless=True, method=6)
    print(f"{solution!r} after {solution.seconds:.0f} s, drawn to {arguments.out}")


if __name__ == "__main__":
    main()
