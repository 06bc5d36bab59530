"""CSV files: every column that is missing is named, and what is no UTF-8 is said to be none."""

import pytest

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.csv_files import read_table


def test_rows_are_read_by_column(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('\ufeffa,b\n1,"x, y"\n2,"z\nw"\n', encoding="utf-8")
    assert read_table(path, ["b"], "table") == [{"a": "1", "b": "x, y"}, {"a": "2", "b": "z\nw"}]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"a,b\n1,2\n", r"table = .*table.csv: must be a CSV file with columns c, d, but it has a, b"),
        (b"a,c,d\n1,2,\xe9\n", "must be a CSV file in UTF-8$"),
        (b"a,c,d,c\n1,2,3,4\n", "must be a CSV file with one column of each name, but it has two c$"),
    ],
)
def test_tables_that_cannot_be_used(content, wanted, tmp_path):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(InputError, match=wanted):
        read_table(tmp_path / "table.csv", ["a", "c", "d"], "table")


def test_a_table_without_measure(tmp_path):
    """A file with a hole of a gigabyte takes no room on the disk, and is not read."""
    with (tmp_path / "table.csv").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(InputError, match=r"must be a CSV file that can be read \(it has more than 268 MB\)$"):
        read_table(tmp_path / "table.csv", ["a"], "table")
