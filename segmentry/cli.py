"""The command line: parse flags, call the workspace, print.

Commands stand in sibling modules, by what they are for: `cli_author`, `cli_compute`, `cli_decide`, `cli_tell` and so on.
`Root.main` is the one place that turns errors into messages and exit codes:

    0    done                         4    a guard holds something
    1    the user's problem           75   another run holds the lease
    2    wrong usage                  70   a bug of ours
    3    some deliveries failed       130  interrupted; 141 the reader of our output went away

What a command needs is imported when it runs, so that `--help` and completion answer at once.

Shell completion, segment names included, comes from click:

    eval "$(_SEGMENTRY_COMPLETE=bash_source segmentry)"       # bash, in ~/.bashrc
    eval "$(_SEGMENTRY_COMPLETE=zsh_source segmentry)"        # zsh, in ~/.zshrc
    _SEGMENTRY_COMPLETE=fish_source segmentry | source        # fish, in ~/.config/fish/config.fish
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import shell_complete

from segmentry import (
    __version__,
    cli_author,
    cli_compute,
    cli_decide,
    cli_destinations,
    cli_enrollments,
    cli_keep,
    cli_look,
    cli_sandbox,
    cli_schedule,
    cli_tell,
    cli_verify,
)
from segmentry.cli_options import Settings, workspace_options
from segmentry.errors import DiagnosedError, SegmentryError

PROGRAM = "segmentry"
COMPLETION = "_SEGMENTRY_COMPLETE"
BUG, INTERRUPTED, READER_GONE = 70, 130, 141


class Root(click.Group):
    """The command group; its `main` answers for every error."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> NoReturn:
        """Run one command and end the process with its exit code."""
        settings = Settings()
        _open_closed_streams()
        words = list(sys.argv[1:] if args is None else args)
        if COMPLETION in os.environ:
            sys.exit(shell_complete(self, {}, PROGRAM, COMPLETION, os.environ[COMPLETION]))
        try:
            code = self._answer(words, settings)
            sys.stdout.flush()
        except BrokenPipeError:
            code = READER_GONE
            _forget_stdout()
        sys.exit(code)

    def _answer(self, words: list[str], settings: Settings) -> int:
        try:
            with self.make_context(PROGRAM, words, obj=settings) as context:
                self.invoke(context)
        except click.exceptions.Exit as end:
            return end.exit_code
        except (KeyboardInterrupt, EOFError, click.Abort):
            settings.talk.error("interrupted")
            return INTERRUPTED
        except click.ClickException as error:
            return _usage(error, settings)
        except DiagnosedError as error:
            settings.talk.diagnostics(error.diagnostics)
            return _traced(error.exit_code)
        except SegmentryError as error:
            settings.talk.error(str(error))
            return _traced(error.exit_code)
        except BrokenPipeError:
            raise
        except OSError as error:
            # a full disk, a file without permission: the place is at fault, not the program
            settings.talk.error(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
            return _traced(SegmentryError.exit_code)
        except RuntimeError as error:
            if "Query interrupted" not in str(error):  # Ctrl-C while DuckDB reads a file's head or a sample
                return self._bug(error, words, settings)
            settings.talk.error("interrupted")
            return INTERRUPTED
        except Exception as error:  # noqa: BLE001 - whatever else ends a command is ours to answer for
            return self._bug(error, words, settings)
        return settings.exit_code

    def _bug(self, error: Exception, words: list[str], settings: Settings) -> int:
        settings.talk.error(
            f"a bug in Segmentry: {type(error).__name__}: {error}\n"
            f"It is not your fault, and nothing was committed by halves. Please report it with the output of\n"
            f"  SEGMENTRY_DEBUG=1 {PROGRAM} {' '.join(words)}\n"
            f"and of `{PROGRAM} --version`."
        )
        return _traced(BUG)


def _usage(error: click.ClickException, settings: Settings) -> int:
    if settings.log_format == "json":
        settings.talk.error(error.format_message())
    else:
        error.show()
    return error.exit_code


def _traced(code: int) -> int:
    """The code; the traceback of the error at hand goes to stderr if SEGMENTRY_DEBUG asks for it."""
    if os.environ.get("SEGMENTRY_DEBUG"):
        traceback.print_exc()
    return code


def _open_closed_streams() -> None:
    """A closed stdout or stderr (`>&-`) reads as None in Python; what goes there goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open as long as the process


def _forget_stdout() -> None:
    """Point stdout at nothing: what is still buffered has no reader, and the interpreter would complain of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
@workspace_options(top=True)
def cli() -> None:
    """Group contacts by rules over Parquet, keep every group current, and say who came in and who left.

    Data goes to stdout, everything else to stderr. Reading commands never wait for a run.
    """


for _module in (
    cli_author,
    cli_compute,
    cli_decide,
    cli_destinations,
    cli_enrollments,
    cli_keep,
    cli_look,
    cli_sandbox,
    cli_schedule,
    cli_tell,
    cli_verify,
):
    for _command in _module.COMMANDS:
        cli.add_command(_command)


main = cli.main
