"""The simulation of a region: its token caches, what it needs, and the table of the documentation."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.region import MEASURED, Region, need, share_validated, table

SMALL = Region(replicas=4, tenants=50, calls_per_second=200, by_token=False)


def test_a_token_is_validated_once_in_each_replica_and_lifetime() -> None:
    one_tenant = replace(SMALL, tenants=1, replicas=1)
    calls_in_a_lifetime = one_tenant.calls_per_second * one_tenant.cache_seconds
    assert share_validated(one_tenant) == pytest.approx(1 / calls_in_a_lifetime, rel=0.01)
    assert share_validated(replace(one_tenant, replicas=4)) == pytest.approx(4 / calls_in_a_lifetime, rel=0.3)


def test_calls_routed_by_token_need_fewer_validations() -> None:
    assert share_validated(replace(SMALL, by_token=True)) < 0.5 * share_validated(SMALL)


def test_a_cache_that_is_too_small_validates_again() -> None:
    assert share_validated(replace(SMALL, cache_entries=5)) > 2 * share_validated(SMALL)


def test_processors_grow_with_the_calls_and_memory_with_the_records() -> None:
    less, more = need(SMALL, MEASURED), need(replace(SMALL, calls_per_second=400, tenants=100), MEASURED)
    assert more.valkey_processors == 2 * less.valkey_processors
    assert more.gateway_mib - less.gateway_mib == pytest.approx(50 * MEASURED.record_bytes / 2**20)


def test_the_documented_table_is_what_the_simulation_prints() -> None:
    assert table() in Path("docs/explanation/performance.md").read_text(encoding="utf-8")
