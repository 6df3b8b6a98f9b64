"""What can go wrong, in words for the user, and the exit code that each kind ends with."""

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_BUG = 3
EXIT_INTERRUPTED = 130


class ParallelError(Exception):
    """An expected refusal or failure: what it concerns, and a command or step that leads out."""

    exit_code = EXIT_REFUSED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ParallelError):
    """What the user typed can't be a command of ours."""

    exit_code = EXIT_USAGE


class NoSuchTaskError(ParallelError):
    """No task has that `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no task `{name}`", hint="git parallel list")
        self.name = name


class UnsafeError(ParallelError):
    """Going on could lose somebody's work, so nothing was done."""


class GitError(ParallelError):
    """Git refused; `code` is its exit code and the message ends with its own words."""

    def __init__(self, message: str, hint: str = "", *, code: int = 128) -> None:
        super().__init__(message, hint)
        self.code = code
