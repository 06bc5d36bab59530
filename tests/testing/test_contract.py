"""The conformance check passes our environments, and names what is wrong with broken ones."""

import jax
import jax.numpy as jnp
import pytest
from flax import struct

from fpo_jax import Gradient, InputError, Leader, Myopic, Responses, run_seed
from fpo_jax.envs import ENVIRONMENTS
from fpo_jax.envs.linear import Linear
from fpo_jax.testing.checks import check_game
from tests.helpers import require_named

SMALL = {"language": {"vocabulary": 6, "prompts": 1, "length": 2, "width": 4, "features": 4}}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_our_environments_conform(name):
    check_game(ENVIRONMENTS[name](**SMALL.get(name, {})))


def broken(**methods):
    """A linear game some of whose methods are replaced."""
    return struct.dataclass(type("Broken", (Linear,), methods))(dimension=4)


def detached(self, theta, key):
    return Responses(jax.lax.stop_gradient(theta)[None], jnp.ones(1))


BROKEN = {
    "sum of responses.w = 2.0": {"respond": lambda self, t, k: Responses(jnp.stack([t, t]), jnp.ones(2))},
    "responses.w = array of shape (1, 1)": {
        "respond": lambda self, t, k: Responses(t[None], jnp.ones((1, 1)))
    },
    "responses.y = array of shape (4,)": {"respond": lambda self, t, k: Responses(t, jnp.ones(1))},
    "reward(phi, y) = array of shape [4]": {"reward": lambda self, phi, y: phi * y},
    "utility(y) = array of shape [1]": {"utility": lambda self, y: y[:1]},
    "E[U] = 20.0": {"utility": lambda self, y: jnp.full((), 20.0, y.dtype)},
    "utility(y) = [nan]": {"utility": lambda self, y: jnp.full((), jnp.nan, y.dtype)},
    "blind_spot(y) = [2.]": {"blind_spot": lambda self, y: jnp.full((), 2.0, y.dtype)},
    "cost(theta, responses) = array of shape [4]": {"cost": lambda self, t, r: t},
    "cost(theta, responses) = NoneType": {"cost": lambda self, t, r: None},
    "diagnostics(theta)['norm'] = array of shape [4]": {"diagnostics": lambda self, t: {"norm": t}},
    "offline().y = rows of": {"offline": lambda self: Responses(jnp.zeros((2, 3)), jnp.full(2, 0.5))},
    "places = {'arm': 3}": {"places": {"arm": 3}},  # where there is one response
    "gradient of J in theta": {"respond": detached},
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_game_is_named(complaint):
    require_named(complaint, lambda: check_game(broken(**BROKEN[complaint])))


def test_a_game_with_a_missing_method_cannot_be_made():
    from fpo_jax import Game

    class Half(Game):
        def init(self, key):
            return jnp.zeros(1), jnp.zeros(1)

    with pytest.raises(TypeError, match="blind_spot"):
        Half()


def test_a_class_that_is_no_pytree_is_named():
    class Plain(Linear):
        pass

    with pytest.raises(InputError, match="class = Plain: must be a pytree"):
        check_game(Plain())


def test_a_run_refuses_weights_that_do_not_sum_to_1(key):
    game = broken(**BROKEN["sum of responses.w = 2.0"])
    with pytest.raises(InputError, match=r"sum of responses.w = 2.0: must be 1"):
        run_seed(game, Leader(Myopic()), Gradient(), key, steps=1)


@struct.dataclass
class Wavering(Linear):
    """A linear game whose policy is sampled, two responses at a time."""

    def respond(self, theta, key):
        return Responses(theta[None] + 0.3 * jax.random.normal(key, (2, theta.size)), jnp.full(2, 0.5))


def changed(**methods):
    """A sampled game one of whose methods is replaced."""
    return struct.dataclass(type("Changed", (Wavering,), methods))(dimension=2, signal_dimension=1)


@jax.custom_jvp
def nearly(x):
    return x


@nearly.defjvp
def _nearly_jvp(primals, tangents):
    return primals[0], 1.00001 * tangents[0]  # off by 1e-5 of itself, ten times what is taken for rounding


def five_times(self, phi, y):
    reward, norm = Wavering.reward_and_norm(self, phi, y)
    return reward, 5.0 * norm


def one_sample(self, theta, key, number):
    one = self.respond(theta, key)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (number, *leaf.shape)), one)


def across(self, theta, responses, opponent, key):
    """Pairs of the opponent's responses with the policy's: turned round."""
    pairs = Wavering.compare(self, theta, responses, opponent, key)
    return pairs._replace(y=pairs.y[::-1])


CHANGED = {
    "reward_and_norm(phi, y) = off its definition by": {"reward_and_norm": five_times},
    "reward_and_norm(phi, y) = off its definition": {  # right, but for its derivative in y
        "reward_and_norm": lambda self, phi, y: Wavering.reward_and_norm(self, phi, jax.lax.stop_gradient(y))
    },
    "tangent_kernel(phi, y, other) = off its definition by": {
        "tangent_kernel": lambda self, phi, y, other: Wavering.tangent_kernel(self, phi, y, y)
    },
    "gradient of E[U] in theta = off its central difference by": {
        "utility": lambda self, y: Wavering.utility(self, jax.lax.stop_gradient(y))
    },
    "gradient of J in theta = off its central difference by 1.": {
        "reward": lambda self, phi, y: nearly(Wavering.reward(self, phi, y))
    },
    "sample(theta, key, number) = the same sample twice": {"sample": one_sample},
    "sample(theta, key, 3) = Responses": {
        "sample": lambda self, theta, key, number: self.respond(theta, key)
    },
    "sample, 0: sum of responses.w = 2.0": {
        "sample": lambda self, theta, key, number: jax.tree.map(
            lambda leaf: leaf * 2, Wavering.sample(self, theta, key, number)
        )
    },
    "deployed: sum of responses.w = 0.5": {
        "deployed": lambda self, theta, key: Responses(theta[None], jnp.full(1, 0.5))
    },
    "deployed(theta, key).y = rows of": {
        "deployed": lambda self, theta, key: Responses(theta[None, :1], jnp.ones(1))
    },
    "reference: sum of responses.w = 3.0": {
        "reference": lambda self: Responses(jnp.zeros((3, 2)), jnp.ones(3))
    },
    "E[r] over the first side of compare(…, 'policy') = off": {"compare": across},
    "luck(y)[1] = [2. 2.]": {"luck": lambda self, y: (jnp.zeros(()), jnp.full((), 2.0))},
    "at(0.0) = ": {"at": lambda self, progress: self.replace(action_cost=jnp.stack([progress] * 2))},
    "at(0.0) = Changed": {"at": lambda self, progress: self.replace(action_cost=jnp.asarray(1))},
    "prompts = 3: must be an integer >= 1 that divides the 2 responses": {"prompts": 3},
    "optimum() = nan": {"optimum": lambda self: jnp.full((), jnp.nan)},
    "diagnostics(theta)['signal_norm'] = inf": {
        "diagnostics": lambda self, theta: {"signal_norm": jnp.full((), jnp.inf)}
    },
    "comparisons() = tuple: must be as fpo_jax.feedback.recorded makes it": {
        "comparisons": lambda self: Responses((jnp.zeros((1, 2)), jnp.ones((1, 2))), jnp.ones(1))
    },
}


@pytest.mark.parametrize("complaint", CHANGED)
def test_every_override_that_is_invited_is_checked(complaint):
    require_named(complaint, lambda: check_game(changed(**CHANGED[complaint])))


def test_a_single_response_that_is_a_number_and_a_utility_of_millions_pass():
    @struct.dataclass
    class Only(Linear):
        def respond(self, theta, key):
            return Responses((theta[None], jnp.zeros(1, int)), jnp.ones(1))

        def deployed(self, theta, key):
            return self.respond(theta, key)

        def reward(self, phi, y):
            return jnp.sum(phi * y[0])

        def utility(self, y):
            return 1e6 + 1e-3 * Linear.utility(self, y[0])

        def blind_spot(self, y):
            return Linear.blind_spot(self, y[0])

        def cost(self, theta, responses):
            return jnp.sum(theta**2)

        def optimum(self):
            return jnp.asarray(1e6 + 10.0)

    check_game(Only(dimension=2, signal_dimension=1))
