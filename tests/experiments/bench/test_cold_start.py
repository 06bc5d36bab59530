"""Cold starts: the first run of a process, with and without what an earlier one kept."""

import pytest

from fpo_jax.experiments.bench.cold_start import cold_starts
from fpo_jax.experiments.cli.stages import covered


def test_stages_that_lie_within_one_another_count_once():
    # 0 … 2, 1 … 3 and 5 … 6 cover 3 + 1 seconds
    assert covered([(1.0, 3.0), (5.0, 6.0), (0.0, 2.0), (0.5, 1.0)]) == 4.0


@pytest.mark.slow
def test_a_cold_start_reads_what_the_first_has_kept():
    starts = cold_starts("linear", "myopic")
    assert list(starts) == ["nothing kept", "first", "again"]
    assert starts["again"].whole.cpu < starts["nothing kept"].whole.cpu
    assert starts["again"].compiling < 0.5 * starts["nothing kept"].compiling
