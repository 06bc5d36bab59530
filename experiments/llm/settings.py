"""What a run of the pipeline is: plain settings, checked before anything is loaded. Needs no extra."""

import dataclasses
import math
import shlex
from collections.abc import Mapping
from typing import Any, Literal, Self

from fpo_jax.engine.initial import SEED_LIMIT
from fpo_jax.errors import InputError, require_known

Mode = Literal["rlhf", "practical", "relaxed", "proximal"]
Precision = Literal["bfloat16", "float32"]
Labels = Literal["soft", "hard"]
Placement = Literal["replicated", "divided"]
MODES: tuple[Mode, ...] = ("rlhf", "practical", "relaxed", "proximal")
PRECISIONS: tuple[Precision, ...] = ("bfloat16", "float32")
LABELS: tuple[Labels, ...] = ("soft", "hard")
PLACEMENTS: tuple[Placement, ...] = ("replicated", "divided")
LORA_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Projections of a layer that can be adapted."""


def _field(default: Any = dataclasses.MISSING, *, low: float = -math.inf, high: float = math.inf) -> Any:
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclasses.dataclass(frozen=True)
class _Checked:
    """TrainSettings that know their ranges."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))

    @classmethod
    def of(cls, wishes: Mapping[str, Any]) -> Self:
        """Fill in a user's wishes.

        Raises:
            InputError: names what is unknown, missing or out of range.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        given = {name: value for name, value in wishes.items() if value is not None}
        for name in given:
            require_known("setting", name, known)
        for name, field in known.items():
            if field.default is dataclasses.MISSING and name not in given:
                raise InputError(name, "nothing", "given: it has no default")
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        wants_float = {name for name, field in known.items() if field.type is float}
        return cls(**{n: float(v) if n in wants_float and type(v) is int else v for n, v in given.items()})

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as one flat dictionary, the contents of `config.json`."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    def options(self) -> str:
        """Return the options that differ from the defaults, as they are typed."""
        words = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                values = value if isinstance(value, tuple) else (value,)
                spelt = " ".join(shlex.quote(str(v)) for v in values)
                words.append(f"--{field.name.replace('_', '-')} {spelt}")
        return " ".join(words)


def _check(field: dataclasses.Field, value: Any) -> None:
    meta, kind = field.metadata, field.type
    if kind in (int, float) or (kind == (int | None) and value is not None):
        whole = kind is not float
        right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not right or not math.isfinite(value) or not meta["low"] <= value <= meta["high"]:
            bound = f" >= {meta['low']:g}" + (f" and <= {meta['high']:g}" if meta["high"] < math.inf else "")
            raise InputError(field.name, value, f"{'an integer' if whole else 'a finite number'}{bound}")
    elif kind is bool and not isinstance(value, bool):
        raise InputError(field.name, value, "true or false")
    elif kind == (str | None) and value is not None and not isinstance(value, str):
        raise InputError(field.name, value, "a folder")
    elif kind == tuple[str, ...] and not (
        isinstance(value, tuple) and all(isinstance(part, str) for part in value)
    ):
        raise InputError(field.name, value, f"a list of {', '.join(LORA_MODULES)}")
    elif kind is str and not (isinstance(value, str) and value):
        raise InputError(field.name, value or "nothing", "a file or a folder")


@dataclasses.dataclass(frozen=True)
class TrainSettings(_Checked):
    """Resolved settings of a run: one step is one prompt. `fpo-jax llm --help` says what each is."""

    model: str = _field()
    prompts: str = _field()
    mode: Mode = "rlhf"
    weight: float = _field(10.0, low=0.0)
    reward_model: str | None = _field(None)
    oracle: str | None = _field(None)
    steps: int = _field(500, low=1)
    candidates: int = _field(8, low=1)
    tokens: int = _field(32, low=2)
    prompt_limit: int = _field(512, low=1)
    temperature: float = _field(1.0, low=0.0)
    top_p: float = _field(1.0, low=1e-6, high=1.0)
    chat: bool = _field(True)
    policy_lr: float = _field(2e-5, low=0.0)
    head_lr: float = _field(5e-5, low=0.0)
    accumulation: int = _field(4, low=1)
    labels: Labels = "soft"
    new_head: bool = False
    lora_rank: int = _field(16, low=1)
    lora_alpha: float = _field(32.0, low=0.0)
    lora_modules: tuple[str, ...] = _field(("q_proj", "v_proj"))
    seed: int = _field(0, low=0, high=SEED_LIMIT - 1)
    random: bool = False
    precision: Precision = "bfloat16"
    placement: Placement = "replicated"
    devices: int | None = _field(None, low=1)
    every: int = _field(50, low=1)

    def __post_init__(self) -> None:
        """Raise an InputError for the first setting that is out of range."""
        super().__post_init__()
        choices = {"mode": MODES, "labels": LABELS, "precision": PRECISIONS, "placement": PLACEMENTS}
        for name, options in choices.items():
            require_known(name, getattr(self, name), options)
        for module in self.lora_modules:
            require_known("lora_modules", module, LORA_MODULES)
        if not self.lora_modules:
            raise InputError("lora_modules", "nothing", f"one or more of {', '.join(LORA_MODULES)}")

    def command(self) -> str:
        """Return the command that repeats this run."""
        return f"fpo-jax llm {self.options()}"


HOW = ("devices", "placement", "every")
"""TrainSettings that say how to compute a run, not what it is: they may change when it is resumed."""


@dataclasses.dataclass(frozen=True)
class AnswerSettings(_Checked):
    """Resolved settings of answering prompts. `fpo-jax answer --help` says what each is."""

    model: str = _field()
    prompts: str = _field()
    adapter: str | None = _field(None)
    tokens: int = _field(32, low=2)
    prompt_limit: int = _field(512, low=1)
    temperature: float = _field(0.0, low=0.0)
    top_p: float = _field(1.0, low=1e-6, high=1.0)
    chat: bool = _field(True)
    seed: int = _field(0, low=0, high=SEED_LIMIT - 1)
    precision: Precision = "bfloat16"

    def __post_init__(self) -> None:
        """Raise an InputError for the first setting that is out of range."""
        super().__post_init__()
        require_known("precision", self.precision, PRECISIONS)
