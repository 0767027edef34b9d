"""Errors for users, and the exit codes of every command.

An error says what was found, where, what was expected and what to do, in one or two plain lines.
The commands print it without a traceback (`--debug` shows one).
"""

EXIT_OK = 0
EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_REFUSED = 4
EXIT_INTERRUPTED = 130


class UserError(ValueError):
    """Refused before work started: a model, dataset or folder cannot be used (exit code 4)."""

    exit_code = EXIT_REFUSED


class UsageError(UserError):
    """The command line or the configuration file asks for something that does not exist (2)."""

    exit_code = EXIT_USAGE


class AnnotationError(UserError):
    """An annotation cannot be used; the message begins with `file:line:`."""


class PageError(UserError):
    """A picture or a page of a document cannot be opened; the message names the file."""
