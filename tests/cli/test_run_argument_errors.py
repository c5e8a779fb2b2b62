"""An error about a run names --run where the command has that option, and only there."""

from __future__ import annotations

import pytest
from seqgen.cli.errors import handle_errors

from seqgen.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--run", "--json"], "error: --run: a has no gates"), (["--json"], "error: a has no gates")],
)
def test_a_run_that_is_an_argument_is_not_called_an_option(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit), handle_errors(options):
        raise ConfigError("run: a has no gates")

    assert capsys.readouterr().err.strip() == said
