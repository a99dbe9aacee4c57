"""Settings of Sphinx. `make docs` runs docs/build.py, which calls Sphinx with them."""

import re

project = 'idc_nb'
author = 'the idc_nb authors'
project_copyright = '2026 onwards, the idc_nb authors'

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.mathjax', 'sphinx.ext.viewcode']
nb_execution_mode = 'off'  # the outputs that the notebooks keep are shown
myst_enable_extensions = ['amsmath', 'dollarmath']
myst_heading_anchors = 3
suppress_warnings = ['ref.python']  # two classes may have a field of the same name

default_role = 'code'  # `name` in a docstring
autodoc_member_order = 'bysource'
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False

html_theme = 'sphinx_book_theme'
html_title = 'idc_nb'
html_static_path = ['_static']
html_css_files = ['site.css']
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # it would be fetched, which a browser refuses for files
html_theme_options = dict(
    show_toc_level=2,
    use_download_button=False,
    use_fullscreen_button=False,
    show_navbar_depth=1,
    extra_footer='',
    article_footer_items=[],
    footer_content_items=['author', 'copyright'],
)
# One file with its own fonts, which docs/build.py puts there: a page needs no address outside.
mathjax_path = 'tex-svg.js'


FIELDS = {'Args:': ':param', 'Attributes:': ':ivar', 'Returns:': ':returns:'}


def as_text(line) -> str:  # what Sphinx would read as markup is written with backslashes
    pieces = re.split('(`[^`]+`)', line)
    pieces[::2] = [re.sub(r'([\\*|`_])', r'\\\1', piece) for piece in pieces[::2]]
    pieces[1::2] = [f'\\ {piece}\\ ' for piece in pieces[1::2]]  # may stand inside a word
    return ''.join(pieces)


def mark_up(doc: list) -> list:  # lines of a docstring with the sections of lab/50_help
    field, lines = '', []
    for line in doc:
        if line in FIELDS:
            field = FIELDS[line]
        elif field == ':returns:' and line.strip():
            lines.append(f':returns: {as_text(line.strip())}')
        elif field and line.strip():
            name, _, comment = line.strip().partition(': ')
            lines.append(f'{field} {name}: {as_text(comment)}')
        else:
            lines.append(line if line.startswith('>>>') else as_text(line))
    return lines


def on_docstring(app, what, name, thing, options, lines):
    lines[:] = mark_up(lines)


def setup(app):
    app.connect('autodoc-process-docstring', on_docstring)
