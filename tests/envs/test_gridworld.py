"""The gridworld: its dynamics and features, maps that one writes, walls that cut nothing off, collapse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from fpo_jax import BestResponse, Exact, Leader, Myopic, outcome, run_seeds, seed_keys
from fpo_jax.envs.gridworld import MOVES, Gridworld
from fpo_jax.errors import InputError
from fpo_jax.experiments.core.settings import resolve
from fpo_jax.experiments.sweeps.grid import make_grid
from fpo_jax.hyperparameters import validate
from fpo_jax.testing.checks import check_game

draw = jax.jit(lambda environment, key: environment.draw(key))


def test_the_recipe_is_as_described(key):
    game = draw(Gridworld(slip=0.2), key)
    planted, utility = np.asarray(game.pairs.planted[:, 0]), np.asarray(game.pairs.utility[:, 0])
    assert planted.sum() == 3
    assert planted[0] == planted[-1] == 0  # neither start nor goal
    assert np.all(utility[planted == 1] == 0)
    assert utility[-1] == 1.0  # exp(0) at the goal
    for cell in np.flatnonzero(planted == 0):
        squared = (cell // 5 - 4) ** 2 + (cell % 5 - 4) ** 2
        features = [0.3 * np.exp(-squared / 8), np.exp(-squared / 6)]
        np.testing.assert_allclose(game.pairs.features[cell, 0], features, rtol=1e-14)
    assert np.all(np.asarray(game.pairs.features[planted == 1, :, 1]) == 2.0)
    # from the upper left corner "up" and "left" stay; slip 0.2 spreads over four directions, 0.05 each
    up = np.asarray(game.transitions.probabilities[0, MOVES.index((-1, 0))])
    np.testing.assert_allclose(up[[0, 1, 5]], [0.8 + 2 * 0.05, 0.05, 0.05], rtol=1e-14)
    np.testing.assert_allclose(up.sum(), 1.0, rtol=1e-14)
    assert np.asarray(game.offline().w).reshape(25, 4)[planted == 1].sum() == 0


def test_a_map_may_stand_in_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maze.txt").write_text("S..#G\n.#...\n..D.#\n\n", encoding="utf-8")
    settings = resolve({"environment": "gridworld", "map": "maze.txt"})
    assert settings.as_dict()["map"] == "S..#G/.#.../..D.#"  # what was drawn, wherever the file goes
    grid = make_grid({"environment": "gridworld", "grid": {"map": "maze.txt, SD/.G"}})
    assert grid.grid["map"] == ("S..#G/.#.../..D.#", "SD/.G")


def test_a_file_that_is_no_map_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for file, content, complaint in (
        (
            "ragged.txt",
            b"S..\n.G\n",
            "map line 2 = .G: must be 3 cells long, as the first line, not 2, in",
        ),
        ("unknown.txt", b"S..\n.x.\n..G\n", "map line 2 = .x.: must be made of S (start)"),
        ("binary", b"\xff\xfe", "and it is not a readable file either (no text)"),
        ("empty", b"\n", "map = nothing: must be one or more rows, in empty"),
        ("none.txt", None, "and it is not a readable file either (No such file or directory)"),
        ("folder", None, "and it is not a readable file either (Is a directory)"),
    ):
        if content is not None:
            (tmp_path / file).write_bytes(content)
        with pytest.raises(InputError) as caught:
            resolve({"environment": "gridworld", "map": file})
        assert complaint in str(caught.value)


def test_a_map_is_read_as_it_is_written(key):
    game = draw(Gridworld(map=" S.# \n DGS / G.. ", slip=0.0), key)
    layout = jax.tree.map(np.asarray, game.layout)
    np.testing.assert_array_equal(layout.start, [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(layout.goal, [[0, 0, 0], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(layout.decoy, [[0, 0, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(layout.wall, [[0, 0, 1], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(game.start.reshape(3, 3), layout.start / 2)
    # squared distance to the nearer of the two goals; nothing at the wall and the decoy
    squared = np.array([[2, 1, 2], [1, 0, 1], [0, 1, 2]])
    expected = np.exp(-squared / 4) * (1 - layout.wall) * (1 - layout.decoy)
    np.testing.assert_allclose(game.pairs.utility[:, 0].reshape(3, 3), expected, rtol=1e-14)
    np.testing.assert_array_equal(game.covered[:, 0] > 0, ((layout.wall + layout.decoy) == 0).ravel())
    moves = np.asarray(game.transitions.probabilities)
    assert moves[1, MOVES.index((0, 1)), 1] == 1.0  # into the wall: stays
    assert moves[5, MOVES.index((-1, 0)), 5] == 1.0  # into the wall from below: stays
    assert moves[5, MOVES.index((0, -1)), 4] == 1.0


def test_decoys_are_drawn_where_a_map_shows_none(key):
    keys = jax.random.split(key, 200)
    layouts = jax.jit(jax.vmap(lambda k: Gridworld(map="S#../.#.G", decoys=2).draw(k).layout))(keys)
    decoys = np.asarray(layouts.decoy)
    assert np.all(decoys.sum(axis=(1, 2)) == 2)
    # uniform over the four free cells: each holds one of two decoys half of the time, 5 standard errors
    free = np.array([[0, 0, 1, 1], [1, 0, 1, 0]])
    assert np.all(np.abs(decoys.mean(axis=0) - free / 2) <= 5 * 0.5 / np.sqrt(200))
    assert np.all(decoys.mean(axis=0)[free == 0] == 0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), share=st.floats(0.0, 1.0))
def test_walls_cut_nothing_off(seed, share):
    layout = draw(Gridworld(rows=7, columns=9, decoys=4, walls=share), jax.random.key(seed)).layout
    wall, kept = np.asarray(layout.wall), np.asarray(layout.start + layout.goal + layout.decoy)
    assert kept.sum() == 6
    assert not np.any(wall * kept)
    _, number = label(wall == 0)
    assert number == 1
    if share == 1.0:
        assert wall.mean() > 0.2
    if share == 0.0:
        assert wall.sum() == 0


def test_a_walled_gridworld_keeps_the_contract():
    check_game(Gridworld(walls=0.4, rows=3, columns=4, decoys=2, episode_length=5))


def test_a_large_grid_needs_no_square_matrix(key):
    # 10⁴ states: a table would hold 4·10⁸ probabilities.
    environment = Gridworld(rows=100, columns=100, occupancy_solver="iterative")

    @jax.jit
    def total(key):
        game = environment.draw(key)
        return jnp.sum(game.occupancy(jax.random.normal(key, (10_000, 4))))

    np.testing.assert_allclose(total(key), 1.0, rtol=1e-10)
    assert total.lower(key).compile().memory_analysis().temp_size_in_bytes < 10_000**2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"map": "..../...G"}, "map = ..../...G: must be a map with at least one S (start)"),
        ({"map": "S.../...."}, "map = S.../....: must be a map with at least one G (goal)"),
        ({"map": "S#G"}, "map line 1 = S#G: must be one whose G can be reached from S"),
        ({"map": "SG#/..#/##G"}, "map line 3 = ##G: must be one whose G can be reached from S"),
        ({"map": "S#SG"}, "map line 1 = S#SG: must be one from whose S a G can be reached"),
        ({"map": "S..\n..\n..G"}, "map line 2 = ..: must be 3 cells long, as the first line, not 2"),
        ({"map": "S..//..G"}, "map line 2 = nothing: must be 3 cells long"),
        ({"map": "S.x/..G"}, "map line 1 = S.x: must be made of S (start), G (goal), D (decoy), # (wall)"),
        ({"map": "S.x/..G"}, "not 'x'"),
        ({"map": "S./.G", "decoys": 3}, "decoys = 3: must be an integer <= 2, the number of free cells"),
        ({"decoys": 24}, "decoys = 24: must be an integer <= 23"),
        ({"walls": 1.5}, "walls = 1.5: must be a finite number >= 0 and <= 1"),
        ({"discount": 1.0}, "discount = 1.0: must be in [0, 1); 1 only with an episode_length > 0"),
    ],
)
def test_bad_maps(wrong, message):
    with pytest.raises(InputError) as caught:
        validate(Gridworld(**wrong))
    assert message in str(caught.value)


@pytest.mark.slow
def test_it_collapses_without_steering_and_not_with_it():
    # The claim's own bounds: below 5 % of the reachable optimum against above 90 % of it.
    reached = {}
    keys = seed_keys(4)
    follower = BestResponse(ridge=0.1, alpha=0.3)
    for objective in (Myopic(), Exact()):
        leader = Leader(objective, policy_lr=10.0)
        _, trace = run_seeds(Gridworld(), leader, follower, keys, steps=1000, record=outcome)
        reached[type(objective)] = float(trace.metrics["true_utility"][:, -1].mean())
    optimum = float(jax.jit(jax.vmap(lambda key: Gridworld().draw(key).optimum()))(keys).mean())
    assert reached[Myopic] < 0.05 * optimum
    assert 0.9 * optimum < reached[Exact] <= optimum
