"""Pages of the documentation site that lie outside docs/, and the links between them.

MkDocs calls ``on_files`` and ``on_page_markdown`` (a hook in mkdocs.yml). The files stay where GitHub
shows them.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent

OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "docker/README.md": "containers.md",
    "experiments/LOG.md": "log.md",
}
"""File in the repository to its page on the site."""


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages of ``OUTSIDE``."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Returns the page with its links as the site has them; files that are no page become plain text."""
    source = next((name for name, at in OUTSIDE.items() if at == page.file.src_uri), None)
    folder = posixpath.dirname(source) if source else "docs"
    return re.sub(
        r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)",
        lambda link: _on_site(link, folder),
        markdown,
    )


def _on_site(link: re.Match[str], folder: str) -> str:
    target = link["target"]
    if not target or re.match(r"[a-z]+:", target):
        return link[0]
    path = posixpath.normpath(posixpath.join(folder, target))
    if path in OUTSIDE:
        page = OUTSIDE[path]
    elif path.startswith("docs/"):
        page = path.removeprefix("docs/")
    else:
        return f"`{path}`"
    return f"{link['image']}[{link['text']}]({page}{link['anchor'] or ''})"
