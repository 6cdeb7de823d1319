"""Checks that every relative link in the Markdown files leads to a file or a heading."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Returns the anchors that a renderer gives the headings of a Markdown file."""
    words = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(path.read_text()))
    return {title.strip().replace(" ", "-") for title in words}


def broken_links(root: Path) -> list[str]:
    """Returns a line for each link that leads nowhere."""
    broken = []
    for page in sorted([*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("docker/*.md")]):
        for target in LINK.findall(page.read_text()):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name) if name else page
            if not file.exists():
                broken.append(f"{page.relative_to(root)}: no file {target}")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                broken.append(f"{page.relative_to(root)}: no heading {target}")
    return broken


if __name__ == "__main__":
    lines = broken_links(Path(__file__).parent.parent)
    print("\n".join(lines) or "all links lead somewhere")
    sys.exit(1 if lines else 0)
