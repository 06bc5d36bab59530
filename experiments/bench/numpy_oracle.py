"""An independent oracle: three environments in eager NumPy, from the formulas alone.

Nothing here imports the package or JAX. Gradients are derived by hand, or are the published forward
difference. It runs one seed and one iteration at a time, as a reader would write it.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class LinearOracle:
    """The paper's linear environment with one gradient step of the reward model per iteration.

    U(y) = 10 exp(−0.3 ‖y − c‖²), c = (2, 2, 2, 0, …);   r = w·y;   cost = 0.1 ‖y‖²
    w ← (1 − decay) w + 2 lr (U − w·y) y

    With R = r − U, n = ‖y‖², ∇U = −2·0.3 U (y − c), the gradients of the objectives in y are
        myopic      w − 0.2 y
        practical   w − 0.2 y − weight · 2y
        relaxed     w − 0.2 y − weight · [(w − ∇U) n + R · 2y]
        exact       w⁺ − 0.2 y + (∂w⁺/∂y)ᵀ y,   w⁺ = (1 − decay) w + 2 lr (U − r) y,
                    (∂w⁺/∂y)ᵀ y = 2 lr [(U − r) y + (∇U − w) n]
    """

    objective: str = "myopic"
    weight: float = 0.1
    gradient: str = "analytic"  # or "forward difference"
    difference_step: float = 0.05
    utility_scale: float = 10.0
    utility_rate: float = 0.3
    ideal_signal: float = 2.0
    signal_dimension: int = 3
    action_cost: float = 0.1
    policy_lr: float = 0.02
    rm_lr: float = 0.005
    weight_decay: float = 1e-4

    def run(self, weights: np.ndarray, steps: int) -> dict[str, np.ndarray]:
        w, y = weights.copy(), np.zeros_like(weights)
        self.c = np.zeros_like(weights)
        self.c[: self.signal_dimension] = self.ideal_signal
        rows = [self.record(y, w)]
        for _ in range(steps):
            ascent = self.ascent(y, w) if self.gradient == "analytic" else self.difference(y, w)
            y = y + self.policy_lr * ascent
            w = self.updated(y, w)
            rows.append(self.record(y, w))
        names = ("true_utility", "proxy_reward", "signal_norm", "noise_norm")
        return dict(zip(names, np.array(rows).T, strict=True)) | {"theta": y, "phi": w}

    def utility(self, y):
        return self.utility_scale * np.exp(-self.utility_rate * np.sum((y - self.c) ** 2))

    def updated(self, y, w):
        return (1 - self.weight_decay) * w + 2 * self.rm_lr * (self.utility(y) - w @ y) * y

    def value(self, y, w):
        foreseen = self.updated(y, w) if self.objective == "exact" else w
        value = foreseen @ y - self.action_cost * np.sum(y**2)
        if self.objective == "practical":
            value -= self.weight * np.sum(y**2)
        if self.objective == "relaxed":
            value -= self.weight * (w @ y - self.utility(y)) * np.sum(y**2)
        return value

    def difference(self, y, w):
        here, ascent = self.value(y, w), np.zeros_like(y)
        for i in range(y.size):
            ahead = y.copy()
            ahead[i] += self.difference_step
            ascent[i] = (self.value(ahead, w) - here) / self.difference_step
        return ascent

    def ascent(self, y, w):
        u, r, n = self.utility(y), w @ y, y @ y
        du = -2 * self.utility_rate * u * (y - self.c)
        if self.objective == "exact":
            steering = 2 * self.rm_lr * ((u - r) * y + (du - w) * n)
            return self.updated(y, w) - 2 * self.action_cost * y + steering
        ascent = w - 2 * self.action_cost * y
        if self.objective == "practical":
            ascent = ascent - self.weight * 2 * y
        if self.objective == "relaxed":
            ascent = ascent - self.weight * ((w - du) * n + (r - u) * 2 * y)
        return ascent

    def record(self, y, w):
        k = self.signal_dimension
        return self.utility(y), w @ y, np.linalg.norm(y[:k]), np.linalg.norm(y[k:])


@dataclass
class BanditOracle:
    """The planted-blind-spot bandit with a ridge best response.

    π = softmax(θ);   r_i = φ·g_i;   cost = τ KL(π ‖ uniform)
    φ = A⁻¹ b,   A = Σ μ_i g_i g_iᵀ + λI,   b = Σ μ_i U_i g_i,   μ = (1 − α)·offline + α·π

    A value v_i per arm gives dΣπ_i v_i/dθ_j = π_j (v_j − Σ π v). With R = r − U the values are
        myopic r,   practical r − weight ‖g‖²,   relaxed r − weight R ‖g‖²,
        exact  r − α R_i ⟨A⁻¹ ḡ, g_i⟩,   ḡ = Σ π_i g_i      (∂φ/∂π_i = α A⁻¹ g_i (U_i − r_i))
    each minus τ (log π_i + 1), the derivative of the cost in π_i.
    """

    features: np.ndarray  # [arms, 2]
    quality: np.ndarray  # [arms]
    planted: np.ndarray  # [arms]
    objective: str = "myopic"
    weight: float = 0.1
    alpha: float = 0.3
    ridge: float = 0.1
    temperature: float = 0.02
    policy_lr: float = 1.0

    def run(self, steps: int) -> dict[str, np.ndarray]:
        theta = np.zeros_like(self.quality)
        rows = [self.record(theta)]
        for _ in range(steps):
            theta = theta + self.policy_lr * self.ascent(theta)
            rows.append(self.record(theta))
        names = ("true_utility", "proxy_reward", "blind_spot_mass", "kl")
        policy, phi, _ = self.respond(theta)
        return dict(zip(names, np.array(rows).T, strict=True)) | {"policy": policy, "phi": phi}

    def respond(self, theta):
        policy = np.exp(theta - theta.max())
        policy /= policy.sum()
        offline = (self.planted == 0) / np.sum(self.planted == 0)
        mu = (1 - self.alpha) * offline + self.alpha * policy
        normal = (self.features.T * mu) @ self.features + self.ridge * np.eye(2)
        return policy, np.linalg.solve(normal, self.features.T @ (mu * self.quality)), normal

    def ascent(self, theta):
        policy, phi, normal = self.respond(theta)
        r = self.features @ phi
        square = np.sum(self.features**2, axis=1)
        v = r
        if self.objective == "practical":
            v = r - self.weight * square
        if self.objective == "relaxed":
            v = r - self.weight * (r - self.quality) * square
        if self.objective == "exact":
            mean_gradient = self.features.T @ policy
            influence = self.features @ np.linalg.solve(normal, mean_gradient)
            v = r - self.alpha * (r - self.quality) * influence
        v = v - self.temperature * (np.log(policy) + 1)
        return policy * (v - policy @ v)

    def record(self, theta):
        policy, phi, _ = self.respond(theta)
        kl = np.sum(policy * np.log(policy)) + np.log(policy.size)
        return policy @ self.quality, policy @ (self.features @ phi), policy @ self.planted, kl


def random_network(rng, widths, scale):
    """Return weights [out, in] and biases of an MLP, by layer, unlike any that the package would draw."""
    weights = [scale * rng.normal(size=shape) for shape in zip(widths[1:], widths[:-1], strict=True)]
    return weights, [0.1 * rng.normal(size=w.shape[0]) for w in weights]


@dataclass
class NeuralOracle:
    """The paper's neural environment: Gaussian policy, MLP reward model, Adam on a FIFO buffer.

    z_l = W_l a_{l−1} + b_l,  a_l = log(1 + e^{z_l}),  r = z_L;  δ_L = 1,  δ_l = (W_{l+1}ᵀ δ_{l+1}) σ(z_l)
    ∂r/∂y = W_1ᵀ δ_1;   S = ‖∇_φ r‖² = Σ_l (1 + ‖a_{l−1}‖²) ‖δ_l‖²

    With the adjoints, from the bottom up and then from the top down,
        δ̄_l = 2 (1 + ‖a_{l−1}‖²) δ_l + W_l (δ̄_{l−1} σ(z_{l−1}))
        z̄_l = δ̄_l (W_{l+1}ᵀ δ_{l+1}) σ'(z_l) + ā_l σ(z_l),    ā_{l−1} = 2 a_{l−1} ‖δ_l‖² + W_lᵀ z̄_l
    ∂S/∂y = ā_0. With R = r − U and U held fixed the objectives ascend r − cost ‖y‖² less
        relaxed    weight R S             practical  weight S
        proximal   weight R S / (1 + weight S), whose derivative in S is weight R / (1 + weight S)²
    """

    objective: str = "myopic"
    weight: float = 0.005
    steps: int = 4000  # over which σ and the learning rate are annealed
    sigma: tuple[float, float] = (0.1, 0.001)
    policy_lr: tuple[float, float] = (0.05, 0.001)
    power: float = 4.0
    clip: float = 1.0
    action_cost: float = 0.01
    utility_scale: float = 10.0
    utility_rate: float = 0.2
    ideal: tuple[float, ...] = (2.5, 2.5, 0, 0, 0, 0, 0, 0, 0, 0)
    rm_lr: float = 0.001
    weight_decay: float = 0.001
    buffer_size: int = 50

    def run(self, weights, biases, policy_noise, data_noise):
        """Run as many iterations as there is noise, from weights [out, in] and biases by layer."""
        self.W, self.b = [w.copy() for w in weights], [b.copy() for b in biases]
        parameters = [*self.W, *self.b]
        first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
        theta, buffer, rows, thetas = np.zeros(len(self.ideal)), [], [], []
        for t, (steps_noise, draws_noise) in enumerate(zip(policy_noise, data_noise, strict=True)):
            fade = 1 - (t / self.steps) ** self.power
            sigma, lr = (end + (start - end) * fade for start, end in (self.sigma, self.policy_lr))
            for noise in steps_noise:
                ascent = self.ascent(theta + sigma * noise)
                theta = theta + lr * np.clip(ascent, -self.clip, self.clip)
            thetas.append(theta)
            signal = np.array(self.ideal) != 0
            rows.append((self.utility(theta), self.layers(theta)[-1], np.linalg.norm(theta[~signal])))
            buffer = (buffer + [theta + sigma * noise for noise in draws_noise])[-self.buffer_size :]
            for i, gradient in enumerate(self.loss_gradient(buffer)):
                gradient = gradient + self.weight_decay * parameters[i]
                first[i] = 0.9 * first[i] + 0.1 * gradient
                second[i] = 0.999 * second[i] + 0.001 * gradient**2
                mean, square = first[i] / (1 - 0.9 ** (t + 1)), second[i] / (1 - 0.999 ** (t + 1))
                parameters[i] -= self.rm_lr * mean / (np.sqrt(square) + 1e-8)
        names = ("true_utility", "proxy_reward", "noise_norm")
        return dict(zip(names, np.array(rows).T, strict=True)) | {"theta": np.array(thetas)}

    def utility(self, y):
        return self.utility_scale * np.exp(-self.utility_rate * np.sum((y - np.array(self.ideal)) ** 2))

    def layers(self, y):
        """Return a_0 … a_{L−1}, z_1 … z_{L−1}, δ_1 … δ_L and r."""
        a, z = [y], []
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            z.append(W @ a[-1] + b)
            a.append(np.logaddexp(0, z[-1]))
        deltas = [np.ones(1)]
        for W, pre in zip(self.W[:0:-1], z[::-1], strict=True):
            deltas.insert(0, (W.T @ deltas[0]) * sigmoid(pre))
        return a, z, deltas, (self.W[-1] @ a[-1] + self.b[-1])[0]

    def ascent(self, y):
        a, z, deltas, r = self.layers(y)
        s, u = sum((1 + x @ x) * (d @ d) for x, d in zip(a, deltas, strict=True)), self.utility(y)
        dr, ds = self.W[0].T @ deltas[0], self.square_gradient(a, z, deltas)
        ascent, w = dr - 2 * self.action_cost * y, self.weight
        if self.objective == "relaxed":
            ascent = ascent - w * (dr * s + (r - u) * ds)
        if self.objective == "practical":
            ascent = ascent - w * ds
        if self.objective == "proximal":
            ascent = ascent - w * (dr * s / (1 + w * s) + (r - u) * ds / (1 + w * s) ** 2)
        return ascent

    def square_gradient(self, a, z, deltas):
        bars = [2 * (1 + x @ x) * d for x, d in zip(a, deltas, strict=True)]
        for i, pre in enumerate(z):
            bars[i + 1] = bars[i + 1] + self.W[i + 1] @ (bars[i] * sigmoid(pre))
        above = 2 * a[-1] * (deltas[-1] @ deltas[-1])
        for i in reversed(range(len(z))):
            slope = sigmoid(z[i])
            bar = bars[i] * (self.W[i + 1].T @ deltas[i + 1]) * slope * (1 - slope) + above * slope
            above = 2 * a[i] * (deltas[i] @ deltas[i]) + self.W[i].T @ bar
        return above

    def loss_gradient(self, buffer):
        """Return the gradient of the mean of (r − U)² over the buffer by every weight, then every bias."""
        by_weight, by_bias = [np.zeros_like(w) for w in self.W], [np.zeros_like(b) for b in self.b]
        for y in buffer:
            a, _, deltas, r = self.layers(y)
            error = 2 * (r - self.utility(y)) / len(buffer)
            for i, (x, d) in enumerate(zip(a, deltas, strict=True)):
                by_weight[i] += error * np.outer(d, x)
                by_bias[i] += error * d
        return by_weight + by_bias


def sigmoid(z):
    return 1 / (1 + np.exp(-z))
