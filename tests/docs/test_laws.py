"""The laws of the repository that no linter knows: sizes, forbidden names, places and addresses.

They look at what git tracks or would track, so a file is held to them before it is committed.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core/dpp_core", "operator/dpp_operator", "extractor_image/dpp_extractor")
MOST_MODULE_LINES = 400
MOST_TEST_LINES = 600
MOST_FUNCTION_LINES = 40
MOST_ENTRY_LINES = 90
ENTRY_FILES = (
    "extractor_image/dpp_extractor/unit.py",
    "extractor_image/dpp_extractor/run.py",
    "operator/dpp_operator/reconcile/extraction.py",
)
ADDRESSES = re.compile(
    r"pypi\.org|pythonhosted\.org|proxy\.golang\.org|sum\.golang\.org|registry\.npmjs\.org"
    r"|(?:index|static)\.crates\.io|deb\.debian\.org|archive\.ubuntu\.com|repo\d?\.maven\.org"
    r"|registry-1\.docker\.io|docker\.io/|ghcr\.io|quay\.io|gcr\.io|--(?:extra-)?index-url|--find-links"
)
MACHINE_PATHS = re.compile(r"(?<![\w.~$}/-])/(?:root|work|home/[a-z]+|Users/[A-Za-z]+)/\w")
OFFICE_TITLES = re.compile(
    r"(?:Manager|Service|Helper|Utils?|Builder|Factory|Impl|Base|Processor|Info)$"
)
TEXT_ENDINGS = {
    *(".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".in", ".go", ".mod", ".sum", ".sh"),
    *(".json", ".cfg", ".svg", ""),
}


def _list_files() -> list[Path]:
    answer = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [Path(line) for line in sorted(set(answer.splitlines())) if (ROOT / line).is_file()]


FILES = _list_files()
MODULES = [path for path in FILES if path.suffix == ".py"]
PRODUCT = [path for path in MODULES if path.as_posix().startswith(PACKAGES)]


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines; the docstring is free, so that nobody saves on words."""
    first = function.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring_lines = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring_lines


def _text_lines(path: Path) -> list[str]:
    if path.suffix not in TEXT_ENDINGS:
        return []
    try:
        return (ROOT / path).read_text().splitlines()
    except (UnicodeDecodeError, FileNotFoundError):
        return []


def test_there_is_something_to_look_at():
    assert len(PRODUCT) > 20
    assert Path("pyproject.toml") in FILES


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_is_no_longer_than_the_law_allows(path):
    most = MOST_TEST_LINES if path.name.startswith("test_") else MOST_MODULE_LINES

    assert len((ROOT / path).read_text().splitlines()) <= most


@pytest.mark.parametrize("path", PRODUCT, ids=str)
def test_functions_are_no_longer_than_the_law_allows(path):
    too_long = {
        function.name: _body_lines(function)
        for function in _functions(path)
        if _body_lines(function) > MOST_FUNCTION_LINES
    }

    assert too_long == {}


@pytest.mark.parametrize("path", ENTRY_FILES)
def test_entry_file_reads_aloud_on_one_screen(path):
    assert len((ROOT / path).read_text().splitlines()) <= MOST_ENTRY_LINES


@pytest.mark.parametrize("path", PRODUCT, ids=str)
def test_module_opens_with_why(path):
    assert ast.get_docstring(ast.parse((ROOT / path).read_text()))


@pytest.mark.parametrize("path", [path for path in PRODUCT if path.name == "__init__.py"], ids=str)
def test_package_file_holds_prose_and_no_code(path):
    code = [
        node
        for node in ast.parse((ROOT / path).read_text()).body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]

    assert code == []


def test_every_package_folder_is_a_package_and_carries_types():
    folders = {path.parent for path in PRODUCT}

    assert {folder for folder in folders if not (ROOT / folder / "__init__.py").exists()} == set()
    assert all((ROOT / package / "py.typed").exists() for package in PACKAGES)


def test_no_package_file_lies_where_it_would_shadow_or_break_imports():
    forbidden = [
        path
        for path in MODULES
        if path.name == "__init__.py"
        and (
            path.parts[0] == "tests"
            or path.parent.as_posix() in {"core", "operator", "extractor_image", "."}
        )
    ]

    assert forbidden == []


def test_nothing_is_called_utils():
    named = [
        path
        for path in FILES
        if re.search(r"(?:^|[/_])(?:utils?|helpers?|common|misc)(?:[._/]|$)", str(path))
        and path.name != "_helpers.tpl"  # the name Helm's users look for
    ]

    assert named == []


@pytest.mark.parametrize("path", PRODUCT, ids=str)
def test_types_carry_no_office_titles(path):
    titled = [
        node.name
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.ClassDef) and OFFICE_TITLES.search(node.name)
    ]

    assert titled == []


def test_no_file_names_a_registry_address():
    found = [
        f"{path}:{number}"
        for path in FILES
        if path != Path(__file__).relative_to(ROOT)
        for number, line in enumerate(_text_lines(path), 1)
        if ADDRESSES.search(line)
    ]

    assert found == []


def test_no_file_names_a_path_of_one_machine():
    found = [
        f"{path}:{number}"
        for path in FILES
        if path != Path(__file__).relative_to(ROOT)
        for number, line in enumerate(_text_lines(path), 1)
        if MACHINE_PATHS.search(line)
    ]

    assert found == []


def test_pinned_dependencies_all_carry_hashes():
    locks = [
        path for path in FILES if path.parent == Path("requirements") and path.suffix == ".txt"
    ]

    assert len(locks) >= 4
    for path in locks:
        entries = re.split(r"\n(?=\S)", (ROOT / path).read_text())
        pinned = [entry for entry in entries if "==" in entry.splitlines()[0]]
        assert pinned
        assert [entry for entry in pinned if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".md"], ids=str)
def test_text_ends_with_one_newline_and_has_no_tabs(path):
    text = (ROOT / path).read_text()

    assert text == "" or (text.endswith("\n") and not text.endswith("\n\n"))
    assert "\t" not in text
