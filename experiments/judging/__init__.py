"""Which of two files of answers is better: pair by pair, by a model behind an endpoint or by a local scorer.

`answers` reads and matches, `question` words what a model is asked, `endpoint` and `scorer` judge, `verdicts`
keeps what was said, `counts` tests it, `comparing` does all of it, `outcome` shows and writes it.
"""
