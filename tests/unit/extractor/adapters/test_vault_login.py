"""Who a process is for Vault, as its environment says."""

from pathlib import Path

import pytest

from dpp_core.errors import CredentialsMissingError
from dpp_extractor.adapters.vault_login import read_pod_token, read_token, read_vault_settings

ADDRESS = {"VAULT_ADDR": "https://vault.example:8200"}


def test_a_pod_logs_in_with_its_own_token_which_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    settings = read_vault_settings(
        {
            **ADDRESS,
            "VAULT_KUBERNETES_ROLE": "dpp-acme",
            "VAULT_KUBERNETES_MOUNT": "k8s-eu",
            "VAULT_KUBERNETES_TOKEN_FILE": str(file),
        }
    )
    assert settings is not None

    assert (settings.method, settings.kubernetes_mount) == ("Kubernetes", "k8s-eu")
    assert read_token(settings) == ""
    assert read_pod_token(settings) == "first"
    file.write_text("second")
    assert read_pod_token(settings) == "second"
    assert str(file.read_text()) not in repr(settings)


def test_a_role_without_the_tokens_file_is_refused() -> None:
    with pytest.raises(CredentialsMissingError, match="VAULT_KUBERNETES_TOKEN_FILE"):
        read_vault_settings({**ADDRESS, "VAULT_KUBERNETES_ROLE": "dpp-acme"})


def test_a_token_that_is_gone_is_told_with_its_file(tmp_path: Path) -> None:
    settings = read_vault_settings(
        {
            **ADDRESS,
            "VAULT_KUBERNETES_ROLE": "dpp-acme",
            "VAULT_KUBERNETES_TOKEN_FILE": str(tmp_path / "gone"),
        }
    )
    assert settings is not None

    with pytest.raises(CredentialsMissingError, match="gone"):
        read_pod_token(settings)
