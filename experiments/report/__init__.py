"""The page of a result: `report.html`, one file that opens from disk and needs no network.

Each kind of work makes its own page: `runs/page.py`, `sweeps/page.py`, … This package has what all pages
share. `parts` defines the parts of a page, `page` writes the file, `charts` turns charts into JSON, and
`charts.js` draws them. `page.js` draws the legends and plays animations.
"""
