"""What the parsers of all verbs share: forgiving spelling of options, errors as one line, common options."""

from __future__ import annotations

import argparse
import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import NoReturn

from ..errors import ConfigError, suggestion

__all__ = [
    "Parser",
    "add_common_options",
    "listed",
    "normalised",
    "one_line",
    "refuse_repeated",
    "refuse_unknown",
    "written",
]

_TWINS = {"--n_clusters": "--n_components", "--n_components": "--n_clusters"}
"""One thing under two names: that of clusterers, and that of densities and detectors."""

_UNKNOWN = re.compile(r"unrecognized arguments: (\S+)")


def one_line(text: str) -> str:
    """Return `text` with every run of white space as one blank."""
    return " ".join(text.split())


def listed(text: str | None) -> tuple[str, ...]:
    """Return the names between the commas of an option; as in a CSV file, quotes keep a comma inside a name.

    Two quotes alone are the name of a column without one.

    Examples
    --------
    >>> listed('id,"height, cm"')
    ('id', 'height, cm')
    """
    try:
        names = next(csv.reader([text or ""]), [])
        return tuple(names) if names == [""] and text else tuple(filter(None, names))
    except csv.Error:
        raise ConfigError(f"got the columns {text!r}; expected names on one line, with commas between.") from None


def written(names: Iterable[object]) -> str:
    """Return names as the text that `listed` reads.

    Examples
    --------
    >>> written(["id", "height, cm", 7])
    'id,"height, cm",7'
    """
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


def refuse_repeated(argv: Iterable[str], options: Iterable[str]) -> None:
    """Raise ConfigError if one of the options, which take lists, is there twice: the first would count for nothing."""
    names = [token.partition("=")[0] for token in argv]
    if twice := next((option for option in options if names.count(option) > 1), None):
        raise ConfigError(f"got {twice} twice; name all columns in one, with commas between.")


def normalised(argv: Sequence[str]) -> list[str]:
    """Return the arguments with hyphens inside the names of long options as underscores.

    Examples
    --------
    >>> normalised(["a-file", "--n-clusters", "3", "--training.batch-size=8", "--", "--x-y"])
    ['a-file', '--n_clusters', '3', '--training.batch_size=8', '--', '--x-y']
    """
    end = argv.index("--") if "--" in argv else len(argv)
    return [_underscored(token) for token in argv[:end]] + list(argv[end:])


def _underscored(token: str) -> str:
    if not token.startswith("--"):
        return token
    name, equals, value = token[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def refuse_unknown(message: str, known: Iterable[str]) -> NoReturn:
    """Raise what a parser has to say as a ConfigError, with the nearest known option for an unknown one."""
    unknown = _UNKNOWN.search(message)
    if unknown is None:
        raise ConfigError(f"{one_line(message)}; -h explains the command.")
    word = unknown.group(1)
    if not word.startswith("-"):
        raise ConfigError(f"got one argument too many, {word!r}; -h explains the command.")
    name = word.partition("=")[0]
    near = suggestion(_TWINS.get(name, name), known) or ";"
    raise ConfigError(f"unknown option {name}{near} -h lists the options.")


class Parser(argparse.ArgumentParser):
    """An argument parser that raises ConfigError where argparse would print its usage and exit.

    Parameters
    ----------
    verb, description : str
    """

    def __init__(self, verb: str, description: str) -> None:
        keep_lines = argparse.RawDescriptionHelpFormatter
        super().__init__(f"steinmix {verb}", description=description, formatter_class=keep_lines, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting."""
        refuse_unknown(message, self._option_string_actions)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the options in `argv`; hyphens and underscores are the same in their names."""
        return self.parse_args(normalised(argv))


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add what every verb understands."""
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--quiet", action="store_true", help="print no results, and show no progress")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
