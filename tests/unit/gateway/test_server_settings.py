"""The settings of the environment: what is misspelled or not acceptable is named as the operator wrote it."""

import pytest

from gateway.settings import settings_from


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("OSFAAS_LISTEN_PROT", "did you mean OSFAAS_LISTEN_PORT?"),
        ("OSFAAS_listen_port", "did you mean OSFAAS_LISTEN_PORT?"),
        ("OSFAAS_", "osfaas settings lists them"),
        ("OSFAAS_QQQQQQQQQ", "osfaas settings lists them"),
    ],
)
def test_variable_with_our_prefix_that_is_no_setting_is_refused_by_name(name: str, hint: str) -> None:
    """With the setting that was meant."""
    with pytest.raises(ValueError) as refused:
        settings_from({"PATH": "/bin", name: "1"})
    assert str(refused.value) == f"{name} is not a setting ({hint})"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LISTEN_PORT", "abc", "=abc: input should be a valid integer"),
        ("LISTEN_PORT", "70000", "=70000: input should be less than or equal to 65535"),
        ("TOKEN_FORMAT", "jws token", "='jws token': input should be 'fernet' or 'any'"),
        ("CAPABILITIES", "tempurl,ftp", "=ftp: input should be 'tempurl', 's3' or 'stream'"),
        ("TOKEN_CACHE_SECONDS", "x" * 10_000, f"={'x' * 100}: input should be a valid number"),
    ],
)
def test_value_that_is_not_acceptable_is_a_sentence_about_the_variable(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not about a field of a class, and without an address of the library that checks it."""
    monkeypatch.setenv(f"OSFAAS_{name}", value)
    with pytest.raises(ValueError) as refused:
        settings_from({})
    said = str(refused.value)
    assert said.startswith(f"OSFAAS_{name}{sentence}")
    assert "\n" not in said
    assert "pydantic" not in said


def test_all_values_that_are_not_acceptable_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an operator starts the process once more, and not once more for each."""
    monkeypatch.setenv("OSFAAS_LISTEN_PORT", "x")
    monkeypatch.setenv("OSFAAS_LOG_FORMAT", "xml")
    with pytest.raises(ValueError, match=r"OSFAAS_LISTEN_PORT=x: .*; OSFAAS_LOG_FORMAT=xml: "):
        settings_from({})


def test_variables_of_others_are_none_of_our_business() -> None:
    settings_from({"PATH": "/bin", "OS_CLOUD": "x", "OSFAAS_LISTEN_PORT": "1"})
