"""A page that a person reads: one HTML file that needs nothing else, drawn from frozen values.

Enters: frozen values of texts and numbers: `shell.Page`, `parts.Card`, `lines.Lines`, ... Leaves:
HTML as text, figures in it as inline SVG. Everything here is a pure function; no file is read or
written, nothing is fetched, and every text is escaped (see `markup`). Colours are CSS variables
(see `style`), so that a page follows its reader's light or dark.
"""
