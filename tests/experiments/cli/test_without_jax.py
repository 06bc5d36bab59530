"""What answers without waiting for JAX."""

import subprocess
import sys

from tests.helpers import call


def test_list_and_help_answer_without_jax_and_say_the_same(capsys):
    for arguments in (["list"], ["list", "--json"], ["--help"], ["rum"]):
        status, out, err = call(capsys, *arguments)
        script = (
            "import sys; from fpo_jax.experiments.cli.main import main; status = main(sys.argv[1:]); "
            "assert not {'jax', 'flax', 'scipy', 'matplotlib'} & set(sys.modules); sys.exit(status)"
        )
        alone = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, encoding="utf-8"
        )
        assert (alone.returncode, alone.stdout, alone.stderr) == (status, out, err)
