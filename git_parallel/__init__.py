"""git parallel: many tasks at once in one repository, each in a worktree of its own."""

__version__ = "0.1.0"
