"""The settings of the environment: a misspelled one is not passed over."""

import pytest

from gateway.settings import settings_from


@pytest.mark.parametrize("name", ["OSFAAS_LISTEN_PROT", "OSFAAS_", "OSFAAS_listen_port"])
def test_variable_with_our_prefix_that_is_no_setting_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"no such settings: {name}$"):
        settings_from({"PATH": "/bin", name: "1"})


def test_variables_of_others_are_none_of_our_business() -> None:
    settings_from({"PATH": "/bin", "OS_CLOUD": "x", "OSFAAS_LISTEN_PORT": "1"})
