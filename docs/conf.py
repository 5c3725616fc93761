"""The documentation site: ``sphinx-build -W docs docs/_build``."""

import os
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
# The extension beside this file; and the package of this checkout, also in the kernels that run
# the notebooks.
sys.path[:0] = [str(HERE), str(ROOT)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

project = "pinops"
author = "The pinops authors"
project_copyright = author
release = metadata.version("pinops")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "_site"]
exclude_patterns = ["_build", "_site", "**.ipynb_checkpoints"]
html_extra_path = ["llms.txt"]

# Pages

html_theme = "furo"
html_title = f"pinops {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
smartquotes = False  # options begin with two dashes
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

# Notebooks run in the build; those that have not changed since are taken from a cache.

nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress lines, which replace each other

# Interface

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
