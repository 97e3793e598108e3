"""The extractor's commands of `dpp`: run, ping, show, log. They plug into the core's command by entry points."""
