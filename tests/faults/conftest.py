"""What tests of several commands share: two pictures, and a question put to `idc_caption`."""

import json
import pytest
from idc_nb.lab.commands import idc_caption
from made_up import picture


@pytest.fixture
def two(tmp_path):  # paths of two pictures
    return picture(tmp_path / 'a.png'), picture(tmp_path / 'b.png', 1)


@pytest.fixture
def ask(capsys):  # (arguments of idc_caption) -> exit code, lines, what else is said
    def run(*argv):
        code = idc_caption([*map(str, argv)])
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return run
