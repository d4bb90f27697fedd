"""The documentation as a site: `scripts/docs` builds it, `build/site/docs/index.html` opens it.

The source folder is the checkout, so that links between pages, README and measurements lead to the
same files here and in a viewer of the repository. The navigation is made of the sections of
docs/index.md.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

project = "qdeploy"
copyright = "the qdeploy authors, Apache-2.0"
root_doc = "docs/index"
STUDIES = "docs/studies"
include_patterns = [
    *("docs/*.md", "docs/studies/*.md"),
    *("bench/RESULTS.md", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
nitpicky = False

default_role = "literal"  # docstrings write `code` as Markdown does
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False

# Fonts are those of the reader's system, the search index is a file: nothing is fetched.
html_theme = "furo"
html_title = "qdeploy"
html_copy_source = False
html_show_sourcelink = False


def _add_navigation(app: Sphinx, name: str, text: list[str]) -> None:
    """Hidden tables of contents: of each section of the index, with the pages that it links to, and
    of the pages of studies."""
    if name == STUDIES:
        pages = re.findall(r"\]\((studies/[^)#]+\.md)\)", text[0])
        text[0] += "\n\n" + "\n".join(["```{toctree}", ":hidden:", *pages, "```"]) + "\n"
    if name != root_doc:
        return
    trees = []
    for section in text[0].split("\n## ")[1:]:
        caption = section.splitlines()[0]
        links = re.findall(r"\]\(([^)#:]+\.md)\)", section)
        pages = [f"/{link[3:]}" if link.startswith("../") else link for link in links]
        trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", *pages, "```"]))
    text[0] += "\n\n" + "\n\n".join(trees) + "\n"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_navigation)
