"""Datasets are added to a file as a careful person would: nothing else of it changes."""

import difflib
from pathlib import Path

import pytest
import yaml

from dpp_core.documents.loading import load_extraction, load_outline
from dpp_core.documents.writing import Entry, add_datasets, write_block
from dpp_core.errors import UsageError
from dpp_core.names import ANNOTATION_SELECT

NEW = [
    Entry({"name": "lines", "object": "sales.lines", "key": ["id", "no"]}),
    Entry({"name": "notes"}, "no unique key: read in full"),
]
HEAD = """\
# who owns it: Jo
apiVersion: extraction.dpp.dev/v1alpha1
kind: DistributorExtraction
metadata: {name: acme, namespace: acme}
spec:
  distributor: acme
  source:
    erp: generic-sql
    # the replica
    database: {engine: postgresql, host: erp.acme.example, database: erp}
  credentials: {path: distributors/acme/erp}  # in Vault

"""
TAIL = """\
  # where it goes
  destination: {profile: lake}
  schedule: {cron: ["H 2 * * *"]}
"""
FORMS = {
    "none yet": "",
    "an empty one": "  datasets: []\n",
    "an empty key": "  datasets:   # none yet\n",
    "items one level in": "  datasets:\n    - name: orders  # all\n      key: [id]\n\n",
    "items at the key's own level": "  datasets:\n  - {name: orders, key: [id]}\n  # the last one\n",
    "in brackets": "  datasets: [{name: orders, key: [id]}]\n",
    "in brackets over lines": "  datasets: [\n    {name: orders, key: [id]},\n  ]\n",
}


@pytest.mark.parametrize("middle", FORMS.values(), ids=FORMS.keys())
def test_only_the_datasets_are_added(middle: str, tmp_path: Path) -> None:
    text = HEAD + middle + TAIL
    file = tmp_path / "acme.yaml"
    file.write_text(text)
    listed = [each.name for each in load_outline(file).listed]

    file.write_text(add_datasets(text, NEW))

    datasets = load_extraction(file).spec.datasets
    assert [each.name for each in datasets] == [*listed, "lines", "notes"]
    assert datasets[-2].object == "sales.lines"
    changed = [
        line
        for line in difflib.ndiff(text.splitlines(), file.read_text().splitlines())
        if line.startswith("- ") and "datasets" not in line and "]" not in line
    ]
    assert changed == []


def test_a_file_without_datasets_gets_them_behind_its_credentials() -> None:
    lines = add_datasets(HEAD + TAIL, NEW).splitlines()

    place = lines.index("  credentials: {path: distributors/acme/erp}  # in Vault")
    assert lines[place + 1 : place + 4] == [
        "  datasets:",
        "    - {name: lines, object: sales.lines, key: [id, 'no']}",
        "    - {name: notes}  # no unique key: read in full",
    ]


@pytest.mark.parametrize(
    "metadata",
    [
        "metadata: {name: acme, namespace: acme}",
        "metadata:\n  name: acme\n  namespace: acme",
        "metadata:\n  name: acme\n  annotations: {team: erp}\n  namespace: acme",
        "metadata:\n  name: acme\n  annotations:\n    team: erp\n  namespace: acme",
        "metadata: {name: acme, annotations: {extraction.dpp.dev/select: 'old.*'}}",
    ],
    ids=["braces", "lines", "annotations in braces", "annotations in lines", "one that is there"],
)
def test_the_selection_is_kept_as_an_annotation(metadata: str) -> None:
    text = (HEAD + TAIL).replace("metadata: {name: acme, namespace: acme}", metadata)

    added = add_datasets(text, NEW, "sales.*, !sales.tmp_*")

    before, after = yaml.safe_load(text)["metadata"], yaml.safe_load(added)["metadata"]
    assert after["annotations"][ANNOTATION_SELECT] == "sales.*, !sales.tmp_*"
    before.setdefault("annotations", {})[ANNOTATION_SELECT] = "sales.*, !sales.tmp_*"
    assert after == before


@pytest.mark.parametrize(
    "name",
    [
        *("yes", "08", "1e3", "0x1f", "12:30", "null", "~", "2026-01-01", ".5", "-", "a: b", "# c"),
        *("it's", 'say "hi"', "[x]", "{y}", "a, b", "*all", "&x", "!tag", "%s", "Größe 🙂", " x "),
        *("back\\slash", "x" * 250, "=", "@a", "`b`", "a#b", "|", ">"),
    ],
)
@pytest.mark.parametrize("form", ["none yet", "in brackets"])
def test_any_name_that_a_source_can_have_is_written_so_that_it_is_read_again(
    name: str, form: str, tmp_path: Path
) -> None:
    file = tmp_path / "acme.yaml"

    file.write_text(
        add_datasets(HEAD + FORMS[form] + TAIL, [Entry({"name": "odd", "object": name})])
    )

    assert load_outline(file).listed[-1].object == name


def test_nothing_to_add_gives_the_same_text() -> None:
    assert add_datasets(HEAD + TAIL, []) == HEAD + TAIL


def test_line_ends_and_other_documents_stay(tmp_path: Path) -> None:
    text = ("kind: ConfigMap\n---\n" + HEAD + TAIL).replace("\n", "\r\n")

    added = add_datasets(text, NEW)

    assert added.count("\n") == added.count("\r\n") == text.count("\r\n") + 3
    assert added.startswith("kind: ConfigMap\r\n---\r\n")


def test_a_file_that_ends_without_a_line_end_is_gone_on_with() -> None:
    text = (HEAD + TAIL.partition("  #")[0]).rstrip("\n").partition("  # in Vault")[0]

    added = add_datasets(text, NEW)

    assert added.startswith(text + "\n  datasets:\n")


@pytest.mark.parametrize(
    "text",
    [
        "kind: List\nitems:\n- kind: DistributorExtraction\n  spec: {}\n",
        "kind: DistributorExtraction\nmetadata: {name: a}\nspec: {source: {}}\n",
        "kind: DistributorExtraction\nspec: {{ template }}\n",
    ],
    ids=["a list of objects", "a spec in braces", "a template"],
)
def test_what_cannot_be_edited_with_certainty_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be written into the file") as refusal:
        add_datasets(text, NEW)

    assert "-o yaml" in refusal.value.fix


def test_the_block_alone_says_what_is_to_be_looked_at() -> None:
    assert write_block(NEW).splitlines()[-1] == "    - {name: notes}  # no unique key: read in full"
    assert write_block([]) == "  datasets: []\n"
