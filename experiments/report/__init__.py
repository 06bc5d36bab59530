"""The page that stands beside every result: `report.html`, one file, opened from disk with no network.

`views` says what is to be looked at, `players` what is played over iterations, `sections` says it in words,
`page` writes the file. What is drawn is data, in JSON; how it is drawn, of whatever kind, is for `page.js`.
"""
