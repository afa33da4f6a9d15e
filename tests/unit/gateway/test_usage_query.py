"""The query of usage is bounded, and its pages follow each other."""

import csv
import datetime as dt
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ErrorCode, GatewayError
from gateway.usage.answer import rendered
from gateway.usage.query import parse_usage_query
from operations.store.usage import DAY_MS, HOUR_MS, SUMS, UsageRow

NOW = dt.datetime(2026, 11, 29, 18, 20, 5, tzinfo=dt.UTC)
MONTH = 1_793_491_200_000
SUM = dict(zip(SUMS, (2, 1, 1, 3, 1_500, 1_000, 1_024_000 * 3, 10, 20, 30), strict=True))


def parse(query: str = "", *, project_id: str | None = "p"):
    return parse_usage_query(query.encode(), project_id=project_id, now=NOW)


def test_default_is_the_month_up_to_the_end_of_this_hour() -> None:
    query = parse()
    assert (query.question.start, query.question.end) == (MONTH, MONTH + 28 * DAY_MS + 19 * HOUR_MS)
    assert (query.question.groups, query.limit, query.requests, query.format) == ((), 500, 1, "json")


def test_times_are_those_of_whole_hours_in_utc() -> None:
    question = parse("start=2026-11-01T01:59:59%2B01:00&end=2026-11-02").question
    assert (question.start, question.end) == (MONTH, MONTH + DAY_MS)


def test_long_period_counts_as_several_requests() -> None:
    assert parse("start=2026-01-01&end=2026-11-01").requests == 10


@pytest.mark.parametrize(
    "query",
    [
        "start=yesterday",
        "start=2026-11-30&end=2026-11-29",
        "start=1969-01-01",
        "start=2024-01-01",
        "end=99999-01-01",
        "group_by=project",
        "group_by=hour,day",
        "group_by=user,user",
        "group_by=name",
        "format=xml",
        "format=gnocchi&group_by=user",
        "limit=0",
        "limit=2001",
        "limit=%D9%A1",
        "marker=!",
        "marker=WyJ4Il0",
        "group_by=hour&marker=WyJ4Il0",
        "group_by=user&marker=WyJcdTAwMDAiXQ",
        "group_by=hour&marker=Wy0xXQ",
        "group_by=hour&marker=W3RydWVd",
        "project_id=other",
        "start=2026-11-01&start=2026-11-02",
        "colour=red",
    ],
)
def test_queries_that_are_refused(query: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse(query)
    assert caught.value.kind is ErrorCode.REQUEST_MALFORMED


def test_member_asks_about_the_project_of_the_token_only() -> None:
    assert parse().question.project_id == "p"
    assert parse("group_by=project&project_id=x", project_id=None).question.project_id == "x"
    assert parse("group_by=project", project_id=None).question.project_id is None


@given(st.binary(max_size=200))
def test_no_query_makes_another_error(query: bytes) -> None:
    try:
        parse_usage_query(query, project_id=None, now=NOW)
    except GatewayError as error:
        assert error.kind is ErrorCode.REQUEST_MALFORMED  # noqa: PT017 - an answer is fine too


def rows(*groups: tuple[str | int, ...]) -> list[UsageRow]:
    return [UsageRow(group=group, sums=SUM) for group in groups]


def test_json_has_the_sums_in_seconds_and_gb_seconds_and_the_next_page() -> None:
    response = rendered(parse("group_by=day,function"), rows((MONTH, "f")), "https://faas.test/v1/usage?marker=x")
    document = json.loads(response.body)
    assert document["usage"] == [
        {
            "day": "2026-11-01T00:00:00Z",
            "function": "f",
            "calls": 2,
            "failed": 1,
            "cold_starts": 1,
            "requests": 3,
            "seconds": 1.5,
            "function_seconds": 1.0,
            "gb_seconds": 3.0,
            "request_bytes": 10,
            "response_bytes": 20,
            "object_bytes": 30,
        }
    ]
    assert document["usage_links"] == [{"rel": "next", "href": "https://faas.test/v1/usage?marker=x"}]
    assert response.headers["Link"] == '<https://faas.test/v1/usage?marker=x>; rel="next"'


def test_csv_has_the_same_columns() -> None:
    response = rendered(parse("group_by=user&format=csv"), rows(("u,\n",)), None)
    names, line = csv.reader(io.StringIO(bytes(response.body).decode()))
    assert dict(zip(names, line, strict=True)) | {"calls": "2"} == dict(zip(names, line, strict=True))
    assert (names[0], line[0], response.media_type) == ("user_id", "u,\n", "text/csv")


def test_cloudkitty_takes_the_form() -> None:
    """The rules of CloudKitty's own schema of a dataframe (cloudkitty/dataframe.py)."""
    query = parse("format=cloudkitty")
    assert query.question.groups == ("hour", "project", "user", "function", "revision")
    response = rendered(query, rows((MONTH, "p", "u", "f", "r"), (MONTH + HOUR_MS, "p", "u", "", "")), None)
    document = json.loads(response.body)
    assert set(document) == {"dataframes"}
    assert [frame["period"] for frame in document["dataframes"]] == [
        {"begin": "2026-11-01T00:00:00Z", "end": "2026-11-01T01:00:00Z"},
        {"begin": "2026-11-01T01:00:00Z", "end": "2026-11-01T02:00:00Z"},
    ]
    points = [point for frame in document["dataframes"] for metric in frame["usage"].values() for point in metric]
    assert len(points) == 8
    for point in points:
        assert set(point) == {"vol", "groupby", "metadata"}
        assert isinstance(point["vol"]["unit"], str)
        assert isinstance(point["vol"]["qty"], int | float)
        assert all(isinstance(value, str) for value in (*point["groupby"].values(), *point["metadata"].values()))


def test_gnocchi_takes_the_form() -> None:
    """Resource, metric, measures with a time and a number: `POST /v1/batch/resources/metrics/measures`."""
    query = parse("format=gnocchi")
    response = rendered(query, rows((MONTH, "p", "f"), (MONTH + HOUR_MS, "p", "f")), None)
    document = json.loads(response.body)
    assert list(document) == ["osfaas:p:f"]
    assert document["osfaas:p:f"]["osfaas.gb_seconds"] == {
        "unit": "GB*s",
        "measures": [
            {"timestamp": "2026-11-01T00:00:00Z", "value": 3.0},
            {"timestamp": "2026-11-01T01:00:00Z", "value": 3.0},
        ],
    }
