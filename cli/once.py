"""A command that takes each option once, but for those that may be given again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption


class OnceOnly(TyperCommand):
    """Refuse `--run A --run B`, of which the parser would drop A without a word; `-q -q` says the same twice."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(order).items():
            if times > 1 and isinstance(option, TyperOption) and not option.multiple and not _is_switch(option):
                raise typer.BadParameter("it is given more than once; say which one counts", ctx=ctx, param=option)
        return super().parse_args(ctx, args)


def _is_switch(option: TyperOption) -> bool:
    return option.is_flag and not option.secondary_opts
