"""The frame of `dpp`: one clear message, the frozen exit code, JSON when asked, plug-ins that
cannot hurt.
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest
import typer
import yaml

import wrong_resources
from dpp_core.cli.main import build_app, run, wants_json
from dpp_core.cli.output import print_fields, print_table, to_plain
from dpp_core.documents.loading import load_extraction
from dpp_core.errors import SourceUnavailableError, StreamError
from dpp_core.redaction import MASK

Capture = pytest.CaptureFixture[str]
EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
SAMPLE = str(EXAMPLES / "database.yaml")


@pytest.fixture
def make_app(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], typer.Typer]:
    """Make the command with one plug-in `act` that does what the test says."""

    def make(action: Callable[[], None]) -> typer.Typer:
        module = ModuleType("plug_in_of_a_test")

        def register(app: typer.Typer) -> None:
            app.command("act")(lambda: action())

        module.register = register  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        entry = EntryPoint("act", f"{module.__name__}:register", "dpp.commands")
        return build_app([entry])

    return make


def write_wrong(folder: Path) -> Path:
    content = wrong_resources.build_base("database")
    content["spec"]["datasets"][0]["incremental"]["cursr"] = "a"
    path = folder / "dx.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def test_help_shows_commands_and_examples(capsys: Capture) -> None:
    code = run(["--help"])

    out = capsys.readouterr().out
    assert code == 0
    assert "validate" in out
    assert "dpp plan -f acme.yaml --to ./out" in out
    assert "Exit codes" in out


@pytest.mark.parametrize("command", ["plan", "validate"])
def test_each_command_has_help_with_examples(command: str, capsys: Capture) -> None:
    assert run([command, "--help"]) == 0
    assert "Examples:" in capsys.readouterr().out


def test_the_version_is_one_line(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("dpp ")


def test_a_shell_gets_its_completion(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")

    code = run(["--show-completion", "bash"])

    assert code == 0
    assert "dpp" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["validte"], "Did you mean validate?"),
        (["plan", "--fil", "x"], "Did you mean --file?"),
        (["validate", "--polcy", "x", "y"], "Did you mean --policy?"),
        (["plan"], "--file"),
        (["validate", "-o", "xml", SAMPLE], "xml"),
        (["validate", "no-such-file.yaml"], "no-such-file.yaml"),
        (["plan", "-f", SAMPLE, "--to", "gs://lake"], "s3://bucket/prefix"),
        (["plan", "-f", SAMPLE, "--dataset", "order"], "Did you mean orders?"),
    ],
)
def test_wrong_use_exits_2_and_says_what_was_meant(
    arguments: list[str], says: str, capsys: Capture
) -> None:
    code = run(arguments)

    captured = capsys.readouterr()
    assert code == 2
    assert says in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_no_command_at_all_shows_help(capsys: Capture) -> None:
    code = run([])

    captured = capsys.readouterr()
    assert code == 2
    assert "validate" in captured.out + captured.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceUnavailableError("The source does not answer.", fix="Try later."), 23),
        (StreamError("The chain is broken."), 29),
        (KeyboardInterrupt(), 143),
        (ZeroDivisionError("by zero"), 70),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_becomes_its_exit_code_and_one_message(
    error: BaseException, code: int, make_app: Callable[..., typer.Typer], capsys: Capture
) -> None:
    def fail() -> None:
        raise error

    assert run(["act"], make_app(fail)) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("dpp: ")
    assert "Traceback" not in captured.err


def test_an_error_is_json_when_the_command_line_asks_for_it(
    make_app: Callable[..., typer.Typer], capsys: Capture
) -> None:
    code = run(["validte", "-o", "json"])

    body = json.loads(capsys.readouterr().err)["error"]
    assert body["code"] == code == 2
    assert "Did you mean validate" in body["fix"]


def test_a_secret_in_an_error_is_not_printed(
    make_app: Callable[..., typer.Typer], capsys: Capture
) -> None:
    def fail() -> None:
        raise SourceUnavailableError("cannot reach postgresql://erp:hunter2@host/db")

    run(["act"], make_app(fail))

    err = capsys.readouterr().err
    assert "hunter2" not in err
    assert MASK in err


def test_a_command_gives_its_own_exit_code(make_app: Callable[..., typer.Typer]) -> None:
    def leave() -> None:
        raise typer.Exit(24)

    assert run(["act"], make_app(leave)) == 24


def test_a_plug_in_that_cannot_be_loaded_hides_no_other_command(capsys: Capture) -> None:
    broken = EntryPoint("run", "no_such_package.cli:register", "dpp.commands")

    assert run(["validate", SAMPLE], build_app([broken])) == 0
    assert run(["run", "-f", "x"], build_app([broken])) == 70
    assert "no_such_package" in capsys.readouterr().err


def test_validate_says_all_is_right_and_exits_0(capsys: Capture) -> None:
    code = run(["validate", str(EXAMPLES), "-o", "text"])

    captured = capsys.readouterr()
    assert code == 0
    assert captured.out == ""
    assert "all right" in captured.err


def test_validate_prints_place_field_value_and_fix(tmp_path: Path, capsys: Capture) -> None:
    path = write_wrong(tmp_path)

    code = run(["validate", str(path)])

    out = capsys.readouterr().out
    line = 1 + path.read_text(encoding="utf-8").splitlines().index("      cursr: a")
    assert code == 20
    assert f"{path}:{line}: DistributorExtraction acme/acme: " in out
    assert "spec.datasets[0].incremental.cursr" in out
    assert "Did you mean cursor?" in out


def test_validate_gives_findings_as_json(tmp_path: Path, capsys: Capture) -> None:
    code = run(["validate", str(write_wrong(tmp_path)), "-o", "json"])

    body = json.loads(capsys.readouterr().out)
    assert code == 20
    assert body["files"] == 1
    assert body["findings"][0]["field"] == "spec.datasets[0].incremental.cursr"
    assert set(body["findings"][0]) == {
        "file", "document", "line", "object", "field", "message", "received", "fix",
    }  # fmt: skip


def test_validate_annotates_a_pull_request(tmp_path: Path, capsys: Capture) -> None:
    run(["validate", str(write_wrong(tmp_path)), "-o", "github"])

    out = capsys.readouterr().out
    assert out.startswith("::error file=")
    assert "title=DistributorExtraction acme/acme::" in out
    assert len(out.splitlines()) == 1


def test_validate_refuses_a_wrong_policy_first(tmp_path: Path, capsys: Capture) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("clusters: x\n", encoding="utf-8")

    code = run(["validate", SAMPLE, "--policy", str(policy)])

    assert code == 20
    assert "policy.yaml" in capsys.readouterr().err


def test_plan_shows_what_would_run_and_where_it_goes(capsys: Capture) -> None:
    code = run(["plan", "-f", SAMPLE, "--to", "s3://lake/erp"])

    out = capsys.readouterr().out
    assert code == 0
    assert "s3://lake/erp/acme/acme" in out
    assert "postgresql erp.acme.example:5432/erp" in out
    assert "updated_at from the watermark" in out
    assert "every row" in out


def test_plan_of_one_dataset_names_it_alone(capsys: Capture) -> None:
    run(["plan", "-f", SAMPLE, "--dataset", "orders", "-o", "json"])

    units = json.loads(capsys.readouterr().out)["units"]
    assert [unit["dataset"] for unit in units] == ["orders"]


def test_plan_holds_to_the_policy(tmp_path: Path, capsys: Capture) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("cluster: x\n", encoding="utf-8")

    code = run(["plan", "-f", SAMPLE, "--policy", str(policy)])

    assert code == 20
    assert "has no entry in the policy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["plan", "-o", "json"], True),
        (["plan", "-ojson"], True),
        (["plan", "--output=json"], True),
        (["plan", "-o", "text"], False),
        (["plan"], False),
    ],
)
def test_json_is_wanted_when_asked_for(arguments: list[str], expected: bool) -> None:
    assert wants_json(arguments) is expected


def test_a_table_has_numbers_to_the_right_and_wide_characters_counted(capsys: Capture) -> None:
    print_table(["NAME", "ROWS"], [["漢字", 1200], ["a", None]])

    assert capsys.readouterr().out == "NAME   ROWS\n漢字  1,200\na         -\n"


def test_fields_are_under_each_other(capsys: Capture) -> None:
    print_fields({"a": True, "longer": ["x", "y"]})

    assert capsys.readouterr().out == "a:       yes\nlonger:  x, y\n"


def test_anything_printed_as_json_is_plain() -> None:
    extraction = load_extraction(SAMPLE)

    plain = to_plain(
        {"dx": extraction, "path": Path("a"), "set": {1}, "code": StreamError.exit_code}
    )

    assert json.loads(json.dumps(plain))["dx"]["spec"]["distributor"] == "acme"
