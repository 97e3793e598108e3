"""The policy's digest, the built-in policy laptop, and what --to means."""

import pytest

from dpp_core.errors import UsageError
from dpp_core.laptop import laptop_policy, parse_destination, redirect
from dpp_core.policy import (
    DestinationPolicy,
    ImagesPolicy,
    Policy,
    compute_policy_digest,
    find_destination,
)
from dpp_core.rollout import Rollout, active_image


def test_a_digest_names_content_not_spelling() -> None:
    plain = Policy(cluster="production")
    spelt_out = Policy.model_validate({"cluster": "production", "startDeadlineSeconds": 120})
    other = Policy(cluster="production", start_deadline_seconds=20)

    assert compute_policy_digest(plain) == compute_policy_digest(spelt_out)
    assert compute_policy_digest(plain) != compute_policy_digest(other)
    assert compute_policy_digest(plain).startswith("sha256:")


def test_the_laptop_serves_every_profile_with_one_destination() -> None:
    policy = laptop_policy("./out")

    assert policy.cluster == "local"
    assert find_destination(policy, "lake") == DestinationPolicy(folder="./out")
    assert find_destination(policy, "any") == DestinationPolicy(folder="./out")


def test_a_profile_of_its_own_name_goes_before_the_one_for_all() -> None:
    lake, rest = DestinationPolicy(bucket="lake"), DestinationPolicy(bucket="rest")
    policy = Policy(cluster="x", destinations={"*": rest, "lake": lake})

    assert find_destination(policy, "lake") is lake
    assert find_destination(policy, "other") is rest
    assert find_destination(Policy(cluster="x"), "lake") is None


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("./out", DestinationPolicy(folder="./out")),
        ("/data/lake", DestinationPolicy(folder="/data/lake")),
        ("file:///data/lake", DestinationPolicy(folder="/data/lake")),
        ("s3://lake", DestinationPolicy(bucket="lake")),
        ("s3://lake/erp/raw/", DestinationPolicy(bucket="lake", prefix="erp/raw")),
    ],
)
def test_to_is_a_folder_or_a_bucket(to: str, expected: DestinationPolicy) -> None:
    assert parse_destination(to) == expected


@pytest.mark.parametrize(
    "to", ["gs://lake/x", "https://host/x", "s3://", "s3://UPPER", "s3://b/../x y", ""]
)
def test_to_that_is_neither_is_wrong_use(to: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_destination(to)

    assert caught.value.field == "--to"
    assert "s3://bucket/prefix" in caught.value.fix


def test_to_goes_over_a_policys_destinations_and_nothing_else() -> None:
    policy = Policy(cluster="x", destinations={"lake": DestinationPolicy(bucket="lake")})

    changed = redirect(policy, "./out")

    assert find_destination(changed, "lake") == DestinationPolicy(folder="./out")
    assert changed.cluster == policy.cluster


def test_the_active_image_is_the_promoted_one_else_the_policys() -> None:
    policy = Policy(
        cluster="x", images=ImagesPolicy(allow_tags=True, allowed=("a:1",), default="a:1")
    )

    assert active_image(policy, None) == "a:1"
    assert active_image(policy, Rollout("b:2")) == "b:2"
    assert active_image(Policy(cluster="x"), None) == ""
