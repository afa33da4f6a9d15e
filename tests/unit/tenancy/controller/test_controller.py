"""The controller's wiring: whom it competes with for the lead."""

from tenancy.controller.controller import lease_name


def test_controllers_of_different_records_do_not_compete() -> None:
    names = [lease_name(labels) for labels in ("", "team=a", "team=b", "team=a,zone=b")]
    assert len(set(names)) == len(names)
    assert names[0] == "osfaas-controller"
    assert all(name.startswith("osfaas-controller-") and len(name) < 64 for name in names[1:])
