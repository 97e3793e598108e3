"""What must never be read by anyone, and how it is taken out of any text.

Called by `logs` (every line), and by whoever writes an error's message into a report, record or
document. Two nets, since each has holes: values that were registered when a secret was read, in
every spelling they travel in (raw, URL-encoded, base64 at any offset, escaped, hex), and patterns
for what was never registered (DSN passwords, headers, cloud keys).

    register_secret(password)          # as soon as it is read
    redact("... any text ...")         # -> the same with [redacted]; twice gives the same as once

Too much redacted is a nuisance, too little an incident: patterns lean to too much.
"""

import base64
import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

MASK: Final = "[redacted]"
SHORTEST_SECRET_CHARACTERS: Final = 4
"""A registered value shorter than this is not searched for: it would blank half of every line."""
_SHORTEST_ENCODED_CHARACTERS: Final = 6
_LONGEST_LINE_CHARACTERS: Final = 16


class _Registry:
    """The secrets of this process. State on purpose: like logging itself it must be reached from
    everywhere.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spellings: frozenset[str] = frozenset()
        self.pattern: re.Pattern[str] | None = None

    def add(self, spellings: Iterable[str]) -> None:
        with self._lock:
            self._spellings |= frozenset(spellings)
            longest_first = sorted(self._spellings, key=lambda text: (-len(text), text))
            if longest_first:
                self.pattern = re.compile("|".join(re.escape(text) for text in longest_first))

    def clear(self) -> None:
        with self._lock:
            self._spellings = frozenset()
            self.pattern = None


_REGISTRY: Final = _Registry()


def register_secret(value: str) -> None:
    """Have a value taken out of every later text, in every spelling. Twice is the same as once."""
    _REGISTRY.add(build_spellings(value))


def forget_secrets() -> None:
    """Empty the register; for tests, which share one process."""
    _REGISTRY.clear()


def build_spellings(value: str) -> frozenset[str]:
    """List the spellings in which a secret may turn up in a text; empty when it is too short to
    search for.
    """
    raw = value.strip()
    if len(raw) < SHORTEST_SECRET_CHARACTERS or raw in MASK:
        return frozenset()
    body = raw.encode("utf-8", "surrogatepass")
    percent = {
        quote(raw, safe="", errors="replace"),
        quote_plus(raw, errors="replace"),
        quote(raw, errors="replace"),
    }
    escaped = {
        json.dumps(raw)[1:-1],
        json.dumps(raw, ensure_ascii=False)[1:-1],
        repr(raw)[1:-1],
        repr(body)[2:-1],
    }
    lines = {line for line in raw.splitlines() if len(line) >= _LONGEST_LINE_CHARACTERS}
    spellings = {raw, body.hex(), body.hex().upper()} | percent | escaped | lines
    spellings |= {re.sub("%[0-9A-F]{2}", lambda hit: hit[0].lower(), text) for text in percent}
    spellings |= set(_base64_cores(body))
    return frozenset(text for text in spellings if len(text) >= SHORTEST_SECRET_CHARACTERS)


def _base64_cores(body: bytes) -> Iterable[str]:
    """The part of the base64 text that is the same whatever stands before and after, at each of
    three offsets.
    """
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + body).decode()
        skipped = (0, 2, 3)[offset]
        complete = (offset + len(body)) // 3 * 4
        remainder = (offset + len(body)) % 3
        core = encoded[skipped : complete + remainder]
        if len(core) >= _SHORTEST_ENCODED_CHARACTERS:
            yield core
            yield core.replace("+", "-").replace("/", "_")


_KEYWORD: Final = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret(?:[_-]?(?:id|key|access[_-]?key))?|token|api[_-]?key|"
    r"access[_-]?key(?:[_-]?id)?|private[_-]?key|client[_-]?secret|role[_-]?id|accountkey|sharedaccesskey)"
)
_QUOTED: Final = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_SECRET_KEY: Final = re.compile(
    rf"{_KEYWORD}$|authorization$|cookie$|credential$|signature$", re.IGNORECASE
)

_Replacement = str | Callable[[re.Match[str]], str]
_PATTERNS: Final[tuple[tuple[re.Pattern[str], _Replacement], ...]] = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        MASK,
    ),
    (
        re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://[^\s:@/\"']{0,256}):[^\s@]{0,1024}@"),
        rf"\1:{MASK}@",
    ),
    (re.compile(r"(?i)\b(https?://)[^\s:@/\"'?#]{16,}@"), rf"\1{MASK}@"),
    (
        re.compile(
            r"(?i)\b((?:proxy-)?authorization|cookie|set-cookie)(\\?[\"']?\s*[:=]\s*b?\\?[\"']?)[^\"'\r\n\\,}]+"
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"AWS4-HMAC-SHA256[^\r\n\"'}]*"), f"AWS4-HMAC-SHA256 {MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9+/=_.~-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)(x-amz-(?:signature|credential|security-token)=)[^&\s\"']+"), rf"\1{MASK}"),
    (
        re.compile(
            rf"(?i)({_KEYWORD}\\?[\"']?\s*(?:[:=]|=>)\s*)(b?(?:{_QUOTED})|\\\".*?\\\"|\[redacted\]|[^\s,;&\"'}}\])]+)"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA|ANPA)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"\b(?:hv[sbr]\.[A-Za-z0-9_-]{20,}|[sbr]\.[A-Za-z0-9]{24,})"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),
    (
        re.compile(
            r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk_(?:live|test)_)[A-Za-z0-9_-]{10,}"
        ),
        MASK,
    ),
    (
        re.compile(
            rf"(?i)({_KEYWORD}s?\b[^\w\r\n]{{1,3}}(?:is |was |of )?[\"'`]?)([a-z0-9+/=_.~-]{{16,}})"
        ),
        lambda hit: f"{hit[1]}{MASK}" if _looks_random(hit[2]) else hit[0],
    ),
)


def redact(text: str) -> str:
    """Take secrets out of a text. Pure but for the register; redacting twice gives the same."""
    pattern = _REGISTRY.pattern
    if pattern is not None:
        text = pattern.sub(MASK, text)
    for each, replacement in _PATTERNS:
        text = each.sub(replacement, text)
    return text


def redact_value(value: Any, key: str = "") -> Any:
    """Take secrets out of a value that will become JSON; a key that names a secret hides all of its
    value.

    Numbers and booleans stay what they are unless their text is a registered secret, or they are
    none in JSON (NaN, infinity). Anything
    unknown becomes text.
    """
    if value is None or isinstance(value, bool):
        return value
    if key and _SECRET_KEY.search(key):
        return MASK
    if isinstance(value, Mapping):
        return {redact(str(name)): redact_value(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(each) for each in value]
    if isinstance(value, int | float):
        text = str(value)
        if redact(text) != text:
            return MASK
        return value if math.isfinite(value) else text
    return redact(str(value))


def _looks_random(text: str) -> bool:
    """Tell a key from a word: more than 3 bits a character, and letters next to digits or both
    cases.
    """
    counts = [text.count(character) for character in set(text)]
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
    is_mixed = any(c.isdigit() for c in text) or (text.lower() != text and text.upper() != text)
    return bits > 3.0 and is_mixed and any(c.isalpha() for c in text)
