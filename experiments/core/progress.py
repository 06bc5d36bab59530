"""Progress of a command on standard error, from the first second."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, Self

from tqdm import tqdm
from tqdm.utils import disp_trim

LINE_EVERY = 10.0
"""Seconds between two lines of progress if standard error is not a terminal."""
BAR = "{desc}: {percentage:3.0f}%|{bar}| {remaining} left"
LINE = "{desc}: {percentage:.0f} % done, {remaining} left"
WITHOUT_SHARE = "{desc} …"


class Tell(Protocol):
    """Receives the current activity and the finished share of it, which is unknown for compiling."""

    def __call__(self, what: str, share: float = 0.0) -> None:
        """Receive it."""
        ...


def silent(what: str, share: float = 0.0) -> None:
    """Tell nobody."""


class Progress:
    """Jobs one after the other: a bar on a terminal, a few plain lines elsewhere, such as in a log.

    With one job, the time left is that of the current activity; with several, that of all of them.
    """

    def __init__(self, jobs: int = 1, disable: bool = False):
        self.jobs, self._done, self._job, self._what, self._share = jobs, 0, "", "", 0.0
        self._began, self._from, self._spoke = time.monotonic(), 0.0, 0.0
        self._lines = not disable and not sys.stderr.isatty()
        quiet = disable or self._lines
        self._bar = tqdm(total=jobs, file=sys.stderr, leave=False, disable=quiet, bar_format="starting …")

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Leave the line free."""
        self._bar.close()

    def begin(self, job: str) -> None:
        """Begin this job."""
        self._job = job
        self._show("", 0.0, new=True)

    def tell(self, what: str, share: float = 0.0) -> None:
        """Show the current activity of the job, and its finished share."""
        self._show(what, share, new=what != self._what and self.jobs == 1)

    def end(self) -> None:
        """Count a job as finished."""
        self._done += 1

    def write(self, line: str) -> None:
        """Write a line that stays."""
        tqdm.write(line, sys.stderr)

    def _show(self, what: str, share: float, new: bool) -> None:
        now = time.monotonic()
        if share <= self._share and self.jobs == 1:
            self._began, self._from = now, share
        self._what, self._share = what, share
        words = ": ".join(part for part in (self._job, what) if part)
        known = share > 0 or self.jobs > 1
        if self._lines:
            if new or now - self._spoke > LINE_EVERY:
                self._spoke = now
                sys.stderr.write(f"{self._meter(words, share, LINE if known else WITHOUT_SHARE)}\n")
                sys.stderr.flush()
        elif not self._bar.disable:
            # longer, it would begin a line of its own; the dots may be three
            words = words if known else disp_trim(words, self._columns() - 4)
            meter = self._meter(words, share, BAR if known else WITHOUT_SHARE)
            self._bar.display(disp_trim(meter, self._columns()))

    def _columns(self) -> int:
        # some terminals say 0
        return self._bar.format_dict.get("ncols") or shutil.get_terminal_size().columns

    def _meter(self, words: str, share: float, form: str) -> str:
        elapsed, given = time.monotonic() - self._began, self._bar.format_dict
        return tqdm.format_meter(
            self._done + share,
            self.jobs,
            elapsed,
            prefix=words,
            initial=self._from,
            bar_format=form,
            ncols=self._columns(),
            ascii=given.get("ascii"),
        )


def telling(
    call: Callable[..., Any], tell: Tell, words: dict[Any, str], then: str | None = None
) -> Callable[..., Any]:
    """Return a `call` for programs that announces compilation before the first call of a program.

    `words` name what each program computes; programs without words compile quickly. `then` names the activity
    after the last compilation.
    """
    left = dict(words)

    def told(program: Any, *arguments: Any, **static: Any) -> Any:
        new = left.pop(program, None)
        if new is not None:
            tell(f"compiling {new}")
        result = call(program, *arguments, **static)
        if new is not None and then is not None and not left:
            tell(then)
        return result

    return told
