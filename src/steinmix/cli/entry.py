"""The entry point: finds the verb, and turns what goes wrong into one line and an exit code.

====  =============================================================================
code  meaning
====  =============================================================================
0     done
1     an error of steinmix itself; ``--debug`` shows where
2     the input cannot be used: an option, a file, a value
130   interrupted from the keyboard
141   the reader of the output went away (128 + SIGPIPE), without a word
143   terminated (128 + SIGTERM), after cleaning up; with checkpoints the epoch is finished first
====  =============================================================================

Only the verb that is asked for is imported, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

from .. import __version__
from ..errors import SteinmixError, Terminated, unknown
from .parsing import one_line
from .show import say

__all__ = ["VERBS", "main"]

VERBS = {
    "demo": "embedded real data -> clusters, a table against the baselines, report.html",
    "fit": "rows -> a run folder: model, labels, probabilities, scores, record, report",
    "predict": "run folder and new rows -> labels and probabilities",
    "score": "run folder and new rows -> scores; high is normal",
    "sample": "run folder -> generated rows",
    "report": "run folder -> its report.html, made anew",
    "reproduce": "a table of a paper -> its numbers beside ours and the null rows",
    "data": "list the published data sets, get one, or describe a file",
}

OPTIONS = ("--help", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process unless given.

    Returns
    -------
    int
        The exit code.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    # Two spinning threads beside another busy process run ten times slower; read when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    try:
        with _terminable(), _plain_warnings():
            _dispatch(args)
            print(end="", flush=True)  # which minds no closed standard output
        return 0
    except BrokenPipeError:
        _abandon_stdout()
        return 141
    except KeyboardInterrupt as stop:
        say(str(stop) or "interrupted; nothing was written")
        return 130
    except Terminated as stop:
        say(stop.text)
        return 143
    except SystemExit as stop:  # -h ends so, and SIGTERM
        if stop.code == 128 + signal.SIGTERM:
            say("terminated; nothing was written")
        return stop.code if isinstance(stop.code, int) else 0
    except (SteinmixError, OSError, MemoryError) as error:
        return _report(error, args, _described(error), 2)
    except Exception as error:
        hint = "" if "--debug" in args else "; run it again with --debug to see where"
        return _report(error, args, f"unexpected {type(error).__name__}: {error}{hint}", 1)


def _dispatch(args: list[str]) -> None:
    if not args or args[0] in ("-h", "--help", "help"):
        print(_usage())
        return
    if args[0] == "--version":
        print(f"steinmix {__version__}")
        return
    verb, *rest = args
    if verb not in VERBS:
        raise unknown("option", verb, OPTIONS) if verb.startswith("-") else unknown("command", verb, VERBS)
    import_module(f".{verb}", __package__).run(rest)


def _usage() -> str:
    width = max(map(len, VERBS))
    return "\n".join(
        [
            "usage: steinmix COMMAND ...",
            "",
            "Mixtures that do not collapse, from one command.",
            "",
            *(f"  {verb:<{width}}  {purpose}" for verb, purpose in VERBS.items()),
            "",
            "steinmix COMMAND -h explains a command; steinmix --version tells the version.",
        ]
    )


def _described(error: BaseException) -> str:
    if isinstance(error, OSError) and not isinstance(error, SteinmixError) and error.strerror:
        return f"{error.filename or 'system'}: {error.strerror}"
    return str(error) or type(error).__name__


def _report(error: BaseException, args: Sequence[str], text: str, code: int) -> int:
    if "--debug" in args:
        traceback.print_exception(error)
    say(f"error: {one_line(text)}")
    return code


def _abandon_stdout() -> None:
    """Point standard output at nothing, or Python complains once more when it flushes at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # a stand-in for standard output has no descriptor
        return


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show a warning as one line on standard error, without the line of code it comes from."""
    with warnings.catch_warnings():
        # Columns are put in order when a file is opened; the blocks that models get are plain arrays.
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        warnings.showwarning = lambda message, *_, **__: say(f"warning: {one_line(str(message))}")
        yield


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that what is half written is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
