"""An independent oracle: both environments in eager NumPy, from the formulas alone.

Nothing here imports the package or JAX. Gradients are derived by hand, or are the published forward
difference. One seed at a time, one iteration at a time, as a reader would write it down.
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
        seen = self.updated(y, w) if self.objective == "exact" else w
        value = seen @ y - self.action_cost * np.sum(y**2)
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
