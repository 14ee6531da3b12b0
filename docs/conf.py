"""How Sphinx builds these pages: MyST Markdown, the furo theme, and nothing fetched from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

project = "asyncmail"
author = "The asyncmail authors"
copyright = f"2026, {author}"
_init = Path(__file__).parent.parent / "asyncmail" / "__init__.py"
release = version = re.findall(r'__version__ = "(.+)"', _init.read_text("utf-8"))[0]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

html_theme = "furo"
html_title = f"asyncmail {release}"
html_copy_source = False
html_show_sphinx = False
