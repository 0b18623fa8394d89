"""Pages of a Microscope: tables and pictures of `data/` become HTML; nothing is computed by a model.

- `content`: what each page shows.
- `read`: tables -> content.
- `charts`, `graph`: content -> geometry of the drawings.
- `sprites`: renders of a layer -> few files of many icons.
- `search`: the script of names that the search reads.
- `pages`: content -> HTML; only changed files are written.
"""
