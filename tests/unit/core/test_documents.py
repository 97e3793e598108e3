"""Files are read strictly and within limits; what two readers would understand differently is said."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import wrong_resources
from dpp_core.documents.findings import describe_received, name_field, parse_field
from dpp_core.documents.loading import (
    check_paths,
    load_documents,
    load_extraction,
    load_policy,
    load_run,
)
from dpp_core.documents.reading import LIMIT_BYTES, UnreadableFileError, read_documents, read_text
from dpp_core.errors import PolicyError, SpecError
from dpp_core.policy import Policy
from dpp_core.spec.extraction import Extraction


def render(base: str = "database") -> str:
    return yaml.safe_dump(wrong_resources.build_base(base), sort_keys=False)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read_one(text: str) -> Any:
    return read_documents(text, "f.yaml")[0].content


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1", 1),
        ("a: -7", -7),
        ("a: 1.50", 1.5),
        ("a: true", True),
        ("a: False", False),
        ("a: ~", None),
        ("a:", None),
        ("a: ''", ""),
        ("a: '08'", "08"),
        ('a: "on"', "on"),
        ("a: 2026-01-31", "2026-01-31"),
        ("a: 2026-01-31T02:00:00Z", "2026-01-31T02:00:00Z"),
        ("a: 10.1.2.3", "10.1.2.3"),
        ("a: H 2 * * *", "H 2 * * *"),
        ("a: !!str 7", "7"),
        ("a: |\n  x\n  y\n", "x\ny\n"),
    ],
)
def test_plain_values_are_read_as_kubectl_reads_them(text: str, expected: object) -> None:
    document = read_documents(text, "f.yaml")[0]

    assert document.content == {"a": expected}
    assert type(document.content["a"]) is type(expected)
    assert document.traps == ()


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "No",
        "ON",
        "y",
        "08",
        "0o14",
        "0x1F",
        "1e3",
        "1_000",
        "12:30:00",
        ".5",
        "1.",
        ".inf",
        "+5",
        "99999999999999999999",
    ],
)
def test_what_readers_understand_differently_is_a_trap_and_stays_text(text: str) -> None:
    document = read_documents(f"a: {text}", "f.yaml")[0]

    assert document.content == {"a": text}
    assert [trap.place for trap in document.traps] == [("a",)]
    assert text in document.traps[0].message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2", "written twice"),
        ("1: a", "is not text"),
        ("true: a", "is not text"),
        ("~: a", "is not text"),
        ("<<: {a: 1}", "merge keys"),
        ("a: !!binary aGk=", "not read here"),
        ("a: !!python/name:os.system ''", "not read here"),
    ],
)
def test_what_is_not_plain_yaml_is_a_trap(text: str, says: str) -> None:
    traps = read_documents(text, "f.yaml")[0].traps

    assert says in traps[0].message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "not valid YAML"),
        ("{a: 1", "not valid YAML"),
        ("a: *b", "refers to nothing"),
        ("? [a]\n: b", "must be text"),
        ("[" * 40 + "]" * 40, "nested deeper"),
        ("[" * 5000 + "]" * 5000, "nest"),
        ("a: b: c", "not valid YAML"),
        ("%YAML 9.9\n---\na: 1", "not valid YAML"),
    ],
)
def test_what_cannot_be_read_says_why_and_where(text: str, says: str) -> None:
    with pytest.raises(UnreadableFileError, match=says) as caught:
        read_documents(text, "f.yaml")

    assert caught.value.fix


def test_an_alias_is_filled_in_and_counted_as_often_as_it_is_used() -> None:
    assert read_one("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}

    wide = "a: &x [" + ", ".join("1" for _ in range(1000)) + "]\n"
    with pytest.raises(UnreadableFileError, match="aliases are filled in"):
        read_documents(wide + "b: [" + ", ".join("*x" for _ in range(101)) + "]", "f.yaml")


def test_lines_are_those_of_the_file() -> None:
    documents = read_documents("a: 1\n---\nb:\n  - c: 2\n    d: 3\n", "f.yaml")

    assert [document.index for document in documents] == [1, 2]
    assert documents[1].find_line(("b", 0, "d")) == 5
    assert documents[1].find_line(("b", 0, "missing")) == 4


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("abc:-[]{}&*!|>'\"#%@,? \n\t019.eé"), max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    documents = []

    with suppress(UnreadableFileError):
        documents = read_documents(text, "f.yaml")

    assert all(document.content is not None for document in documents)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + render().encode())

    assert load_extraction(path).spec.distributor == "acme"


def test_nothing_of_a_file_over_the_limit_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"[" * (LIMIT_BYTES + 1))

    with pytest.raises(UnreadableFileError, match="nothing of it was read"):
        read_text(path)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_opened_is_said_plainly(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        load_documents(tmp_path / name)


def test_a_load_names_the_first_finding_and_counts_the_others(tmp_path: Path) -> None:
    content = wrong_resources.build_base("database")
    content["spec"] |= {"distributor": "ACME", "suspended": True}
    path = write(tmp_path / "a.yaml", yaml.safe_dump(content))

    with pytest.raises(SpecError) as caught:
        load_extraction(path)

    assert caught.value.exit_code == 20
    assert caught.value.field == "spec.distributor"
    assert "1 more" in caught.value.message
    assert f"{path}:" in caught.value.message


def test_the_kind_that_is_asked_for_is_found_among_others(tmp_path: Path) -> None:
    text = f"{render()}---\n{render('run')}---\nkind: ConfigMap\napiVersion: v1\n"
    path = write(tmp_path / "a.yaml", text)

    assert load_extraction(path).metadata.name == "acme"
    assert load_run(path).metadata.name == "acme-202601010200"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{render()}---\n{render()}", "holds 2"),
        (render("run"), "holds none"),
        ("kind: ConfigMap\napiVersion: v1\n", "holds none"),
        ("", "holds none"),
        ("metadata: {name: a}", "apiVersion"),
        ("- a", "not an object"),
    ],
)
def test_a_file_without_exactly_one_extraction_is_refused(
    text: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=says):
        load_extraction(write(tmp_path / "a.yaml", text))


def test_a_policy_that_cannot_be_read_is_a_policy_error(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="not valid YAML"):
        load_policy(write(tmp_path / "p.yaml", "a: ["))


def test_a_folder_is_looked_through_and_what_is_not_ours_is_noted(tmp_path: Path) -> None:
    write(tmp_path / "acme" / "dx.yaml", render())
    write(tmp_path / "acme" / "job.yml", "apiVersion: batch/v1\nkind: Job\n")
    write(tmp_path / "chart" / "templates" / "x.yaml", "{{ if .Values.x }}\na: [\n{{ end }}")
    write(tmp_path / ".git" / "broken.yaml", "a: [")
    write(tmp_path / "readme.md", "a: [")
    write(tmp_path / "values.yaml", "replicas: 1\n")

    checked = check_paths([tmp_path])

    assert [each.metadata.name for each in checked.objects] == ["acme"]
    assert checked.findings == ()
    assert checked.files == 4
    assert len(checked.notes) == 3


def test_a_broken_file_that_names_our_group_is_wrong_in_a_folder_too(tmp_path: Path) -> None:
    write(tmp_path / "dx.yaml", "apiVersion: extraction.dpp.dev/v1alpha1\nspec: [")

    assert "not valid YAML" in check_paths([tmp_path]).findings[0].message


def test_a_list_as_kubectl_prints_it_is_opened(tmp_path: Path) -> None:
    right, wrong = wrong_resources.build_base("database"), wrong_resources.build_base("database")
    wrong["metadata"]["name"] = "other"
    wrong["spec"]["distributor"] = "ACME"
    content = {"apiVersion": "v1", "kind": "List", "items": [right, wrong]}
    path = write(tmp_path / "a.yaml", yaml.safe_dump(content, sort_keys=False))

    checked = check_paths([path])

    assert len(checked.objects) == 1
    assert [finding.field for finding in checked.findings] == ["spec.distributor"]
    assert "ACME" in path.read_text().splitlines()[checked.findings[0].line - 1]  # type: ignore[operator]


def test_one_name_in_two_files_is_noted_not_refused(tmp_path: Path) -> None:
    write(tmp_path / "base" / "dx.yaml", render())
    write(tmp_path / "overlay" / "dx.yaml", render())

    checked = check_paths([tmp_path])

    assert checked.findings == ()
    assert "apply only one" in checked.notes[0]


def test_with_a_policy_tenancy_is_checked_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", render())

    fields = [finding.field for finding in check_paths([path], Policy(cluster="x")).findings]

    assert fields == ["metadata.namespace"]


def test_an_extraction_too_large_to_hand_over_is_found_before_it_is_committed(
    tmp_path: Path,
) -> None:
    content = wrong_resources.build_base("database")
    content["spec"]["datasets"] = [
        {"name": f"d{n}", "columns": {"exclude": [f"{c}".ljust(100, "x") for c in range(200)]}}
        for n in range(20)
    ]

    findings = check_paths([write(tmp_path / "a.yaml", yaml.safe_dump(content))]).findings

    assert [finding.field for finding in findings] == ["spec.datasets"]
    assert "can be handed over" in findings[0].message


@pytest.mark.parametrize(
    "field", ["spec", "spec.datasets[3].incremental.cursor", "tenants[0].hosts[1]"]
)
def test_a_field_reads_back_as_its_place(field: str) -> None:
    assert name_field(parse_field(field)) == field


@pytest.mark.parametrize(
    ("value", "place", "expected"),
    [
        ("ACME", ("spec", "distributor"), "'ACME'"),
        (7, ("spec", "epoch"), "7"),
        (True, ("spec", "suspend"), "true"),
        (None, ("spec",), "nothing"),
        ([1, 2], ("a",), "a list of 2"),
        ({"a": 1}, ("a",), "a mapping of 1 fields"),
    ],
)
def test_a_value_is_shown_when_short_and_harmless(
    value: object, place: tuple[str, ...], expected: str
) -> None:
    assert describe_received(value, place) == expected


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("hunter2hunter2", ("spec", "password")),
        ("postgresql://u:hunter2@h/d", ("spec", "database")),
        ("erp:hunter2@host", ("spec", "host")),
        ("password=hunter2", ("spec", "database")),
        ("AKIAIOSFODNN7EXAMPLE", ("spec", "x")),
    ],
)
def test_a_value_that_looks_like_a_secret_is_described_only(
    value: str, place: tuple[str, ...]
) -> None:
    described = describe_received(value, place)

    assert "hunter2" not in described
    assert "AKIA" not in described
    assert "looks like a secret" in described


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["spec", "name", "datasets", "source", "x"]), inner, max_size=3
            )
        ),
        max_leaves=12,
    )
)
def test_any_content_gives_findings_never_a_crash(content: Any) -> None:
    from dpp_core.documents.loading import _parse
    from dpp_core.documents.reading import Document

    base = {"apiVersion": "extraction.dpp.dev/v1alpha1", "kind": "DistributorExtraction"}
    document = Document("f.yaml", 1, base | {"metadata": content, "spec": content})

    model, findings = _parse(document, Extraction, "any")

    assert model is None
    assert all(finding.field and finding.message for finding in findings)
