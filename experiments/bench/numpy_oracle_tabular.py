"""An independent oracle of tabular processes in eager NumPy, from the formulas alone, as `oracle.py`."""

from dataclasses import dataclass

import numpy as np


@dataclass
class TabularOracle:
    """A discounted process without end, a softmax policy, a ridge best response to labels of occupancies.

    P_π = Σ_a π P;   d = (1 − γ) (I − γ P_πᵀ)⁻¹ ρ;   w = d π;   r = φ·ψ;   cost = τ Σ w (log π + log A)
    φ = A⁻¹ b,   A = Σ μ ψψᵀ + λI,   b = Σ μ U ψ,   μ = (1 − α)·offline + α·w

    A value v per pair gives, by the policy gradient theorem, with V = (I − γ P_π)⁻¹ Σ_a π v, Q = v + γ P V,
        dΣ w v/dθ[s, a] = w[s, a] (Q[s, a] − V[s])
    With R = r − U the values are
        myopic r,   practical r − weight ‖ψ‖²,   relaxed r − weight R ‖ψ‖²,
        exact  r − α R ⟨A⁻¹ ḡ, ψ⟩,   ḡ = Σ w ψ      (∂φ/∂w = α A⁻¹ ψ (U − r))
    each minus τ (log π + log A), the derivative of the cost in w; that of log π averages to 0.
    """

    transitions: np.ndarray  # [states, actions, states]
    start: np.ndarray  # [states]
    features: np.ndarray  # [states, actions, f]
    quality: np.ndarray  # [states, actions]
    planted: np.ndarray  # [states, actions]
    offline: np.ndarray  # [states, actions], summing to 1
    objective: str = "myopic"
    weight: float = 0.1
    alpha: float = 0.3
    ridge: float = 0.1
    discount: float = 0.9
    temperature: float = 0.01
    policy_lr: float = 10.0

    def run(self, steps: int) -> dict[str, np.ndarray]:
        theta = np.zeros_like(self.quality)
        rows = [self.record(theta)]
        for _ in range(steps):
            theta = theta + self.policy_lr * self.ascent(theta)
            rows.append(self.record(theta))
        names = ("true_utility", "proxy_reward", "blind_spot_mass", "kl")
        return dict(zip(names, np.array(rows).T, strict=True)) | {
            "theta": theta,
            "phi": self.trained(theta)[0],
        }

    def policy(self, theta):
        policy = np.exp(theta - theta.max(axis=1, keepdims=True))
        return policy / policy.sum(axis=1, keepdims=True)

    def system(self, policy):
        return np.eye(self.start.size) - self.discount * np.einsum("sa,sat->st", policy, self.transitions)

    def occupancy(self, policy):
        visits = np.linalg.solve(self.system(policy).T, (1 - self.discount) * self.start)
        return visits[:, None] * policy

    def trained(self, theta):
        mu = (1 - self.alpha) * self.offline + self.alpha * self.occupancy(self.policy(theta))
        normal = np.einsum("sa,saf,sag->fg", mu, self.features, self.features)
        normal = normal + self.ridge * np.eye(len(normal))
        return np.linalg.solve(normal, np.einsum("sa,saf->f", mu * self.quality, self.features)), normal

    def ascent(self, theta):
        policy, (phi, normal) = self.policy(theta), self.trained(theta)
        w, r = self.occupancy(policy), self.features @ phi
        square = np.sum(self.features**2, axis=2)
        v = r
        if self.objective == "practical":
            v = r - self.weight * square
        if self.objective == "relaxed":
            v = r - self.weight * (r - self.quality) * square
        if self.objective == "exact":
            mean_gradient = np.einsum("sa,saf->f", w, self.features)
            influence = self.features @ np.linalg.solve(normal, mean_gradient)
            v = r - self.alpha * (r - self.quality) * influence
        v = v - self.temperature * (np.log(policy) + np.log(policy.shape[1]))
        values = np.linalg.solve(self.system(policy), np.sum(policy * v, axis=1))
        return w * (v + self.discount * self.transitions @ values - values[:, None])

    def record(self, theta):
        policy = self.policy(theta)
        w, r = self.occupancy(policy), self.features @ self.trained(theta)[0]
        kl = np.sum(w * (np.log(policy) + np.log(policy.shape[1])))
        return np.sum(w * self.quality), np.sum(w * r), np.sum(w * self.planted), kl
