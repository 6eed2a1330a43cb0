"""Configuration of the site: ``sphinx-build -W -n docs site`` builds it, without a network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from gallery import FOLDER, GalleryOrder, before_script  # noqa: E402

import fastcka  # noqa: E402

project = "fastcka"
author = "The fastcka developers"
project_copyright = author
version = release = fastcka.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    # in _ext:
    "command_line",
    "public_api",
    "references",
    "repository_files",
    "yaml_keys",
]
exclude_patterns = ["_ext", "gallery/GALLERY_HEADER.rst", "gallery/*.ipynb", "_build"]
default_role = "py:obj"  # names in single backticks, as the docstrings have them
nitpicky = True

# Pages and notebooks
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_cache_path = str(HERE / "_build" / "jupyter-cache")
nb_execution_raise_on_error = True
nb_execution_timeout = 900  # seconds for a cell, on a busy machine
nb_execution_show_tb = True
nb_output_stderr = "remove"  # progress bars of other libraries

# Docstrings
autodoc_typehints = "none"  # the docstrings give types, with shapes and units
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False  # autodoc lists them
numpydoc_xref_param_type = False  # the type column is prose: shapes, units
numpydoc_validation_checks = {"GL06", "GL07", "GL10", "PR02", "PR10"}

# Gallery
sphinx_gallery_conf = {
    "examples_dirs": str(FOLDER),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": GalleryOrder,
    "reset_modules": (before_script, "matplotlib"),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "capture_repr": (),  # figures and printed text only
    "show_memory": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
}
suppress_warnings = ["config.cache"]  # objects in sphinx_gallery_conf cannot be pickled

# Appearance
html_theme = "pydata_sphinx_theme"
html_title = "fastcka"
html_extra_path = ["llms.txt"]
html_show_sourcelink = False
html_copy_source = False
ALONE = ("start", "symptoms", "benchmarks", "other-tools", "changelog", "contributing")
html_sidebars = {page: [] for page in ALONE}  # they have no section to navigate
html_theme_options = {
    "logo": {"text": "fastcka"},
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the notebooks must not reach for a network
