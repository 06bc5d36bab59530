"""The question that a judge is asked, and its replies."""

from fpo_jax.experiments.judging.question import TEMPLATE, fill, understand


def test_replies_are_read():
    meant = {
        "A": "first",
        " **b**.\n": "second",
        "C": "tie",
        "Tie": "tie",
        "<think>[[A]] or B?</think>\nB": "second",
        "The second is shorter. [[B]]": "second",
        "[[A]], yes: [[A]]": "first",
    }
    assert {reply: understand(reply) for reply in meant} == meant
    for reply in ("", "A or B", "[[A]] [[B]]", "D", "Answer 1", "I cannot judge."):
        assert understand(reply) is None, reply


def test_braces_in_answers_stay_as_they_are():
    asked = fill(TEMPLATE, "say {first}", "{second}", "{}%s{prompt}")
    assert asked.count("{second}") == asked.count("{}%s{prompt}") == 1
    assert asked.index("say {first}") < asked.index("{second}") < asked.index("{}%s{prompt}")
