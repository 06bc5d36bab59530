"""Checks for a user's own games: run them in your own test suite.

from fpo_jax.testing import check_decomposition, check_game
def test_my_game():
    check_game(MyGame())
def test_my_steering_term():
    check_decomposition(MyGame(), BestResponse(ridge=0.1), my_steering_term)

Both checks compute in double precision, whatever JAX's default.
"""

from fpo_jax.testing.checks import central_difference, check_decomposition, check_game

__all__ = ["central_difference", "check_decomposition", "check_game"]
