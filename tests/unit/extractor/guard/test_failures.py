"""Every row of the failure tables is a test: the driver's real error goes in, what the table says
comes out.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import bson.errors
import hvac
import pymongo.errors
import pytest
import requests

from dpp_core.errors import CredentialsMissingError, InternalError, VaultUnavailableError
from dpp_extractor.adapters.ferret import FerretIndex
from dpp_extractor.adapters.vault import open_vault
from dpp_extractor.adapters.vault_login import VaultSettings
from dpp_extractor.guard.failures import (
    FERRET,
    VAULT,
    Failure,
    Handling,
    find_failure,
    names_of,
)
from dpp_extractor.guard.retry import RetryPolicy, retrying
from log_capture import Captured, captured_logs

SETTINGS = VaultSettings(address="https://vault.example:8200", token="planted-vault-token")
ATTEMPTS = 3
GOOD = {"data": {"data": {"username": "dpp"}, "metadata": {}}}

Send = Callable[..., requests.Response]


def rows(table: tuple[Failure, ...]) -> list[Any]:
    return [pytest.param(row, name, id=name) for row in table for name in row.names]


@pytest.fixture(autouse=True)
def logged() -> Iterator[Captured]:
    with captured_logs() as captured:
        yield captured


class Wire:
    """What stands for the network: answers in turn, the last one for ever."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.headers: dict[str, str] = {}

    def send(self, adapter: Any, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        response = requests.Response()
        response.status_code, response.url = answer, str(request.url)
        body = GOOD if answer == 200 else {"errors": ["planted-in-the-answer"]}
        response._content = json.dumps(body).encode()
        response.headers.update({"Content-Type": "application/json", **self.headers})
        response.request = request
        return response


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Wire]:
    def _wired(*answers: int | Exception) -> Wire:
        wire = Wire(*answers)
        monkeypatch.setattr(
            requests.adapters.HTTPAdapter,
            "send",
            lambda adapter, request, **rest: wire.send(adapter, request, **rest),
        )
        return wire

    return _wired


def read_from_vault(waits: list[float] | None = None) -> Any:
    kept: list[float] = waits if waits is not None else []
    policy = RetryPolicy(attempts=ATTEMPTS)
    with open_vault(SETTINGS, retrying(policy, sleep=kept.append, rng=lambda: 0.5)) as read_path:
        return read_path("acme/erp")


def vault_failure(name: str) -> int | Exception:
    package, _, kind = name.partition(".")
    if name.startswith("status "):
        return int(name.removeprefix("status "))
    if kind == "JSONDecodeError":
        return requests.JSONDecodeError("boom", "", 0)
    module = {"hvac": hvac.exceptions, "requests": requests.exceptions}[package]
    error: Exception = getattr(module, kind)("boom")
    return error


@pytest.mark.parametrize(("row", "name"), rows(VAULT))
def test_a_failure_of_vault_is_handled_as_its_row_says(
    row: Failure, name: str, wired: Callable[..., Wire], logged: Captured
) -> None:
    wire = wired(vault_failure(name))
    assert row.error is not None

    with pytest.raises(row.error) as caught:
        read_from_vault()

    expected_calls = {Handling.RETRY: ATTEMPTS, Handling.REFRESH: 2, Handling.STOP: 1}
    assert wire.calls == expected_calls[row.handling]
    assert caught.value.is_temporary is (row.handling is Handling.RETRY)
    assert "planted" not in str(caught.value) + logged.text


@pytest.mark.parametrize(("row", "name"), rows(VAULT))
def test_what_passes_by_itself_or_after_a_new_login_gives_the_secret(
    row: Failure, name: str, wired: Callable[..., Wire]
) -> None:
    wire = wired(vault_failure(name), 200)

    if row.handling is Handling.STOP:
        with pytest.raises(CredentialsMissingError):
            read_from_vault()
    else:
        assert read_from_vault() == {"username": "dpp"}
        assert wire.calls == 2


def test_every_error_of_hvac_has_a_row_or_is_known_not_to() -> None:
    unclassified = {"VaultError", "UnexpectedError"}
    kinds = {
        each.__name__
        for each in vars(hvac.exceptions).values()
        if isinstance(each, type) and issubclass(each, Exception)
    }

    listed = {name.removeprefix("hvac.") for row in VAULT for name in row.names}

    assert kinds - listed == unclassified


@pytest.mark.parametrize("answer", [418, 409, RuntimeError], ids=["418", "409", "not a driver's"])
def test_what_is_in_no_row_is_tried_once_more_and_then_our_bug(
    answer: Any, wired: Callable[..., Wire]
) -> None:
    wire = wired(answer if isinstance(answer, int) else KeyError("odd"))

    with pytest.raises(InternalError) as caught:
        read_from_vault()

    assert wire.calls == 2
    assert caught.value.exit_code == 70


def test_retry_after_of_the_server_is_obeyed(wired: Callable[..., Wire]) -> None:
    wire, waits = wired(429, 200), []
    wire.headers["Retry-After"] = "17"

    read_from_vault(waits)

    assert waits == [17.0]


def test_an_answer_that_is_no_secret_is_said(
    wired: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    wired(200)
    monkeypatch.setitem(GOOD, "data", {"username": "dpp"})

    with pytest.raises(CredentialsMissingError, match="KV version 2"):
        read_from_vault()


def ferret_failure(name: str) -> Exception:
    if name.startswith("code "):
        return pymongo.errors.OperationFailure("boom", code=int(name.removeprefix("code ")))
    package, _, kind = name.partition(".")
    if name == "bson.InvalidDocument":
        return bson.errors.InvalidDocument("boom")
    modules: dict[str, Any] = {"pymongo": pymongo.errors, "bson": bson.errors}
    found = getattr(modules[package], kind) if package in modules else __builtins__[kind]
    error: Exception = found("boom")
    return error


@pytest.mark.parametrize(("row", "name"), rows(FERRET))
def test_a_failure_of_the_index_is_handled_as_its_row_says(
    row: Failure, name: str, logged: Captured
) -> None:
    calls: list[int] = []

    def connect() -> Any:
        calls.append(1)
        raise ferret_failure(name)

    index = FerretIndex(connect, "dpp")
    answers = [index.save("runs", {"run_id": "r1"}, {}) for _ in range(3)]

    is_done = row.handling is Handling.DONE
    assert answers == [is_done] * 3
    assert len(calls) == (1 if row.handling is Handling.GIVE_UP else 3)
    assert index.state == ("Current" if is_done else "Behind")
    assert (
        len(logged.events())
        == {Handling.DONE: 0, Handling.SKIP: 3, Handling.GIVE_UP: 1}[row.handling]
    )


def test_every_error_of_pymongo_finds_a_row() -> None:
    kinds = [
        each
        for each in vars(pymongo.errors).values()
        if isinstance(each, type) and issubclass(each, pymongo.errors.PyMongoError)
    ]

    without = [
        kind.__name__
        for kind in kinds
        if find_failure(FERRET, [f"pymongo.{base.__name__}" for base in kind.__mro__]) is None
    ]

    assert len(kinds) > 20
    assert without == []


def test_the_most_specific_name_wins() -> None:
    error = requests.exceptions.SSLError("certificate")

    assert names_of(error)[:2] == ("requests.SSLError", "requests.ConnectionError")
    found = find_failure(VAULT, names_of(error))
    assert found is not None
    assert found.handling is Handling.STOP


def test_an_unknown_name_has_no_row() -> None:
    assert find_failure(VAULT, ("builtins.ZeroDivisionError",)) is None


def test_a_vault_error_that_is_temporary_is_one_for_the_exit_code_too() -> None:
    for row in VAULT:
        expected = (
            VaultUnavailableError if row.handling is Handling.RETRY else CredentialsMissingError
        )
        assert row.error is expected
