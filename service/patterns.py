"""Names by pattern: streams that a mute or a receiver is for."""

import re

WILD = {"?": "."}


def expression(pattern: str) -> re.Pattern[str]:
    """Of names: `*` stands for any characters, `?` for one.

    As `fnmatch` has it: between two `*` the first place that fits is taken, and no other tried.
    """
    first, *others = re.sub(r"\*+", "*", pattern).split("*")
    parts = list(map(_fixed, others))
    if not parts:
        return re.compile(_fixed(first), re.DOTALL)
    between = "".join(f"(?>.*?{part})" for part in parts[:-1])
    return re.compile(f"{_fixed(first)}{between}.*{parts[-1]}", re.DOTALL)


def _fixed(text: str) -> str:
    return "".join(WILD.get(c) or re.escape(c) for c in text)
