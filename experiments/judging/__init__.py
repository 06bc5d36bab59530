"""Which of two files of answers is better: pair by pair, by a model behind an endpoint or by a local scorer.

`answer_files` reads and matches, `question` words what a model is asked, `endpoint` and `scorer` judge,
`access` says what may be sent where, `llm.client` sends it within bounds, `reply` reads what comes back,
`verdicts` keeps each verdict, `verdict_table` reads those made
elsewhere, `counts` tests them, `pairwise` asks about every pair, `job` does all of it, and `files`, `figures`
and `page` write it.
"""
