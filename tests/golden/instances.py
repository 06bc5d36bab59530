"""Golden instances: what games give at one seed, so that a seed means the same instance in every version.

`python -m tests.golden.instances` makes them anew.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from fpo_jax.envs.bandit import Bandit
from fpo_jax.envs.contextual import Contextual
from fpo_jax.envs.corridor import Corridor
from fpo_jax.envs.garnet import Garnet
from fpo_jax.envs.gridworld import Gridworld
from fpo_jax.envs.language import Language
from fpo_jax.envs.linear import Linear
from fpo_jax.envs.neural import Neural
from fpo_jax.envs.parts.episodes import Trajectories
from fpo_jax.numerics.keys import named_key

PATH = Path(__file__).with_name("instances.json")
SHORT = Language(vocabulary=7, prompts=2, length=3, width=4, features=4, corpus=8)
MAP = "S..\n.#D\n..G"
CASES = {
    "bandit": Bandit(),
    "contextual": Contextual(gems=1, reference_leak=0.1),
    "contextual, linear policy": Contextual(policy="linear", trapped=0),
    "contextual, MLP policy": Contextual(policy="mlp", prompts=3, trapped=3),
    "corridor": Corridor(),
    "garnet": Garnet(),
    "garnet, episodes": Garnet(states=6, episode_length=5, occupancy_solver="iterative"),
    "gridworld": Gridworld(),
    "gridworld, walls": Gridworld(walls=0.3, rows=4, columns=6),
    "gridworld, map": Gridworld(map=MAP),
    "language": SHORT,
    "language, sampled": Language(**{**vars(SHORT), "responses": 3}),
    "linear": Linear(),
    "neural": Neural(),
    "trajectories": Trajectories(Garnet(states=4, actions=3, branching=2), trajectories=3, steps=7),
}


def numbers(case: str) -> dict[str, float]:
    """Return one number for each thing that a game of this case gives: Σ_i x_i cos(i + 1) over all of it."""
    key = jax.random.key(7)

    @jax.jit
    def given():
        made = CASES[case]
        if isinstance(made, Trajectories):
            made = made.replace(process=made.process.draw(named_key(key, "instance")))
        game = made.draw(named_key(key, "instance"))
        theta, phi = game.init(named_key(key, "initial parameters"))
        flat, unravel = ravel_pytree((theta, phi))
        theta, phi = unravel(flat + 0.3 * jnp.cos(jnp.arange(flat.size, dtype=flat.dtype)))
        policy = game.respond(theta, named_key(key, "respond"))
        one = jax.tree.map(lambda leaf: leaf[0], policy.y)

        def each(f):
            return jax.vmap(f)(policy.y)

        def through_weights(theta):
            responses = game.respond(theta, named_key(key, "respond"))
            return game.cost(theta, responses) + responses.w @ jax.vmap(game.utility)(responses.y)

        found = {
            "game": game,
            "initial": (theta, phi),
            "respond": policy,
            "deployed": game.deployed(theta, named_key(key, "deployed")),
            "sample": game.sample(theta, named_key(key, "sample"), 2),
            "offline": game.offline(),
            "reference": game.reference(),
            "reward": each(lambda y: game.reward_and_norm(phi, y)),
            "kernel": each(lambda y: game.tangent_kernel(phi, y, one)),
            "utility": each(game.utility),
            "blind spot": each(game.blind_spot),
            "cost": game.cost(theta, policy),
            "slope of cost and utility": jax.grad(through_weights)(theta),
            "optimum": game.optimum(),
            "diagnostics": game.diagnostics(theta),
            "halfway": game.at(0.5),
        }
        return {name: _number(tree) for name, tree in found.items()}

    return {name: float(value) for name, value in given().items()}


def _number(tree):
    leaves = [jnp.ravel(jnp.asarray(leaf, float)) for leaf in jax.tree.leaves(tree)]
    flat = jnp.concatenate(leaves) if leaves else jnp.zeros(1)
    return flat @ jnp.cos(jnp.arange(1.0, flat.size + 1.0))


def read() -> dict[str, dict[str, float]]:
    """Return the golden numbers of every case."""
    return json.loads(PATH.read_text(encoding="utf-8"))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    found = {case: {name: float(f"{x:.13g}") for name, x in numbers(case).items()} for case in CASES}
    PATH.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{PATH}: {PATH.stat().st_size / 1e3:.0f} kB")
