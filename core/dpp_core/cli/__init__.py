"""The `dpp` command: its frame and the sub-commands that need no driver; the others plug in."""
