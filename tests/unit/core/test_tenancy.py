"""A namespace may extract what its entry names, and nobody reaches metadata or the machine itself."""

import ipaddress
from pathlib import Path

import pytest

import wrong_resources
from dpp_core.documents.loading import load_extraction, load_policy
from dpp_core.policy import Policy, SourcesPolicy, TenantPolicy, find_tenant
from dpp_core.spec.extraction import Extraction
from dpp_core.tenancy import check_tenancy, find_denial, is_address_denied, is_host_allowed

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
CLUSTER = SourcesPolicy(deny_networks=("10.96.0.0/12",))
LAPTOP = SourcesPolicy(allow_loopback=True)


def build(**changes: object) -> Extraction:
    content = wrong_resources.build_base("database")
    content["spec"] |= changes
    return Extraction.model_validate(content)


def test_the_sample_is_allowed_by_the_sample_policy() -> None:
    extraction = load_extraction(EXAMPLES / "database.yaml")
    policy = load_policy(EXAMPLES / "policy.yaml")

    assert check_tenancy(extraction, policy) == []


def test_nothing_is_allowed_where_no_entry_is() -> None:
    violations = check_tenancy(build(), Policy(cluster="production"))

    assert [violation.field for violation in violations] == ["metadata.namespace"]


def test_everything_that_is_not_allowed_is_listed_at_once() -> None:
    policy = Policy.model_validate(wrong_resources.build_base("policy"))
    extraction = build(
        distributor="globex",
        credentials={"path": "distributors/globex/erp"},
        destination={"profile": "elsewhere"},
    )

    fields = [violation.field for violation in check_tenancy(extraction, policy)]

    assert fields == ["spec.distributor", "spec.credentials.path", "spec.destination.profile"]


def test_an_entry_without_a_path_prefix_allows_no_secret_unless_it_is_for_all() -> None:
    named = TenantPolicy(namespaces=("acme",), distributors=("acme",), hosts=("*",))
    everybody = named.model_copy(update={"namespaces": ("*",)})
    rest = wrong_resources.build_base("policy") | {"tenants": []}

    def check(tenant: TenantPolicy) -> list[str]:
        policy = Policy.model_validate(rest).model_copy(update={"tenants": (tenant,)})
        return [violation.field for violation in check_tenancy(build(), policy)]

    assert check(named) == ["spec.credentials.path"]
    assert check(everybody) == []


def test_an_entry_that_names_the_namespace_goes_before_one_for_all() -> None:
    everybody = TenantPolicy(namespaces=("*",), distributors=("*",))
    named = TenantPolicy(namespaces=("acme",), distributors=("acme",))
    policy = Policy(cluster="x", tenants=(everybody, named))

    assert find_tenant(policy, "acme") is named
    assert find_tenant(policy, "other") is everybody


@pytest.mark.parametrize(
    ("host", "patterns", "is_allowed"),
    [
        ("erp.acme.example", ("erp.acme.example",), True),
        ("ERP.Acme.Example", ("erp.acme.example",), True),
        ("erp.acme.example", ("ERP.ACME.EXAMPLE",), True),
        ("db.erp.acme.example", ("*.erp.acme.example",), True),
        ("erp.acme.example", ("*.erp.acme.example",), False),
        ("evilerp.acme.example", ("*.erp.acme.example",), False),
        ("erp.acme.example.evil.example", ("erp.acme.example",), False),
        ("10.1.2.3", ("10.1.0.0/16",), True),
        ("10.2.2.3", ("10.1.0.0/16",), False),
        ("::ffff:10.1.2.3", ("10.1.0.0/16",), True),
        ("2001:db8::7", ("2001:db8::/32",), True),
        ("erp.acme.example", ("10.1.0.0/16",), False),
        ("erp.acme.example", (), False),
        ("anything.example", ("*",), True),
    ],
)
def test_a_host_must_meet_a_pattern_of_the_entry(
    host: str, patterns: tuple[str, ...], is_allowed: bool
) -> None:
    assert is_host_allowed(host, patterns) is is_allowed


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "64:ff9b::a9fe:a9fe",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "10.100.0.1",
        "::ffff:10.100.0.1",
        "127.8.8.8",
        "::1",
        "::ffff:127.0.0.1",
    ],
)
def test_an_address_in_a_denied_network_is_denied_in_every_spelling(address: str) -> None:
    assert is_address_denied(ipaddress.ip_address(address), CLUSTER)


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.1.10", "2001:db8::1", "172.31.255.1"])
def test_an_ordinary_address_is_not_denied(address: str) -> None:
    assert not is_address_denied(ipaddress.ip_address(address), CLUSTER)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "erp.localhost"])
def test_the_machine_itself_is_a_source_on_a_laptop_only(host: str) -> None:
    assert find_denial(host, LAPTOP) == ""
    assert find_denial(host, CLUSTER) != ""


@pytest.mark.parametrize("host", ["169.254.169.254", "metadata.google.internal", "2852039166"])
def test_metadata_is_denied_on_a_laptop_too(host: str) -> None:
    assert find_denial(host, LAPTOP) != ""


@pytest.mark.parametrize(
    "host", ["1.2.3", "0x7f.1", "017700000001", "1.2.3.4.5", "127.1", "999.1.1.1"]
)
def test_an_address_in_an_unusual_spelling_is_refused(host: str) -> None:
    assert "unusual spelling" in find_denial(host, LAPTOP)
