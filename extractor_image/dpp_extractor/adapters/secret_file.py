"""A file with secrets: read whole, checked for form, never shown.

Called by `adapters.secrets` for `--secrets FILE` and for the agent's files. Not here: which keys a
role needs.
"""

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from dpp_core import logs
from dpp_core.errors import CredentialsMissingError

LARGEST_FILE_BYTES: Final = 1024 * 1024


def read_secret_file(path: Path) -> Mapping[str, Any]:
    """Read a JSON or YAML mapping, by the file's ending.

    Raises CredentialsMissingError (21) when it is missing, empty, too large, torn or no mapping.
    """
    try:
        status = path.stat()
        body = path.read_bytes() if status.st_size <= LARGEST_FILE_BYTES else b""
    except OSError as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise CredentialsMissingError(
            f"The secret file {path} {reason} ({type(error).__name__}).",
            fix="Check the path and its rights; in a cluster, that injection is on.",
        ) from error
    if status.st_size > LARGEST_FILE_BYTES:
        raise CredentialsMissingError(
            f"The secret file {path} has {status.st_size} bytes, over {LARGEST_FILE_BYTES}."
        )
    if not body.strip():
        raise CredentialsMissingError(
            f"The secret file {path} is empty.", fix="Write it anew, or wait for the agent."
        )
    return _parse(path, body)


def _parse(path: Path, body: bytes) -> Mapping[str, Any]:
    """Parse by the file's ending. The parser's own message is dropped, since it shows a piece of
    the text.
    """
    form = "JSON" if path.suffix == ".json" else "YAML"
    try:
        text = body.decode("utf-8-sig")
        parsed = json.loads(text) if form == "JSON" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise CredentialsMissingError(
            f"The secret file {path} is torn: it is no valid {form}{_position(error)}.",
            fix="Write it anew, whole.",
        ) from None
    if not isinstance(parsed, Mapping):
        raise CredentialsMissingError(
            f"The secret file {path} holds a {type(parsed).__name__} where a mapping is needed.",
            fix="Begin it with the roles: source: {username: ..., password: ...}.",
        )
    return {str(key): value for key, value in parsed.items()}


def _position(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = getattr(error, "lineno", None) or (mark.line + 1 if mark is not None else None)
    return f", line {line}" if line else ""


def warn_if_open_to_others(path: Path) -> None:
    """Log a warning when every account of the machine may read or write the file."""
    if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        logs.warning("secret_file_open_to_others", file=str(path), fix=f"chmod 600 {path}")
