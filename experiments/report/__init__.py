"""The page that stands beside every result: `report.html`, one file, opened from disk with no network.

Each kind of work makes its own: `runs/page.py`, `sweeps/page.py`, … Here is what is general. `parts` says
what a page is made of, `page` writes the file, `charts` makes data, in JSON, of the charts on it, and
`charts.js` draws them. `page.js` has the legends, and plays what moves.
"""
