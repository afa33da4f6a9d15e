"""A store is selected by name."""

from typing import get_args

from gateway.objects.drivers import DRIVERS
from gateway.settings import Settings


def test_each_name_that_the_setting_allows_has_a_driver_and_no_driver_is_out_of_reach() -> None:
    names = get_args(Settings.model_fields["object_store"].annotation)
    assert sorted(names) == sorted(DRIVERS)
