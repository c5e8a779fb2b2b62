"""The size of model that a text and a time can feed, in one line, by rules of thumb. No torch.

Two numbers decide, both known before the first step. Tokens that training reads for each parameter: docs/recipes.md has
its best recurrent models at 12 to 28, those that lost for being too large at 1 to 3, and none over 30, so the line
objects below 1 and, with as much caution, above 15 times 15. Times that the text is read, with parameters for each of
its tokens: 3 parameters a token turned worse after 8 readings, 11 after 16 of fewer steps, 1 did not in 21; with a
dropout of 0.35, 4 did not in 17. Measured on characters, in minutes: for other tokens and days it is a first guess.
"""

from __future__ import annotations

import math

FITTING = 15.0
"""Tokens read for each parameter, about which a model and a time fit each other."""
TOO_FEW, TOO_MANY = 1.0, 225.0
"""Tokens read for each parameter below and above which they do not."""
PARAMETERS_BY_HEART, READINGS_BY_HEART, DROPOUT_THAT_HELPS = 2.0, 8.0, 0.3
"""With more parameters for each token of the text, more readings and less dropout than these it is learnt by heart."""


def advise(parameters: int, text_tokens: int, tokens_read: int, dropout: float) -> str:
    """What to say of a model of `parameters` that reads `tokens_read` of a text of `text_tokens`, again and again."""
    readings, each = tokens_read / text_tokens, tokens_read / parameters
    sizes = (
        f"{_counted(parameters, 'parameter')} read a text of {_counted(text_tokens, 'token')} "
        f"{_counted(readings, 'time')}, {_counted(each, 'token')} for each parameter"
    )
    largest = PARAMETERS_BY_HEART * text_tokens
    # The same work, parameters times tokens, at `FITTING` tokens a parameter.
    fitting = math.sqrt(parameters * tokens_read / FITTING)
    if parameters > largest and readings > READINGS_BY_HEART and dropout < DROPOUT_THAT_HELPS:
        return (
            f"{sizes}: enough to learn it by heart; a smaller --hidden-size, a --dropout of {DROPOUT_THAT_HELPS:g} or "
            "more, or less time"
        )
    if each < TOO_FEW:
        return f"{sizes}: too few; a smaller --hidden-size, about {_round(fitting)} parameters, or more time"
    if each > TOO_MANY and min(fitting, largest) > parameters:
        return (
            f"{sizes}: it could feed more; a larger --hidden-size, about {_round(min(fitting, largest))} parameters, "
            "or less time"
        )
    return f"{sizes}: that fits"


def _counted(number: float, name: str) -> str:
    rounded = _round(number)
    return f"{rounded} {name if rounded == '1' else f'{name}s'}"


def _round(number: float) -> str:
    """Two digits of it, which is what a rule of thumb is worth."""
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"
