"""Fields about inputs and outputs: ASCII, one line, and JSON again when HTTP has joined them."""

import contextlib
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.compute.binding_fields import caller_fields, function_fields, refusal_fields
from gateway.compute.bindings import (
    Binding,
    BoundObjects,
    Input,
    InputState,
    ObjectResult,
    ObjectResults,
    Output,
    OutputState,
)
from gateway.errors import GatewayError
from gateway.http.head import RequestHead
from gateway.invoke.object_query import objects_in
from gateway.objects.model import ObjectKind, ObjectRef, ObjectStat, SignedUrl
from policies.names import ProjectId

_names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


def stat_of(ref: ObjectRef, content_type: str = "image/png") -> ObjectStat:
    return ObjectStat(ProjectId("p"), "http://swift.test/v1/AUTH_p", ref, "e", 5, ObjectKind.PLAIN, content_type)


@given(st.lists(_names, min_size=1, max_size=4), _names)
def test_any_name_is_one_line_of_ascii_and_json_when_lines_are_joined(names: list[str], content_type: str) -> None:
    refs = [ObjectRef("c", name) for name in names]
    inputs = tuple(
        Input(
            Binding(str(number), ref), stat_of(ref, content_type), SignedUrl("s3", "http://u", 9, {"If-Match": '"e"'})
        )
        for number, ref in enumerate(refs)
    )
    fields = function_fields(BoundObjects(inputs=inputs, outputs=(), expires_at=7))
    assert [name for name, _ in fields] == [b"osfaas-input"] * len(names)
    joined = b", ".join(value for _, value in fields)
    assert joined.isascii()
    assert not {b"\r", b"\n", b"\0"} & {bytes([byte]) for byte in joined}
    assert [each["object"] for each in json.loads(b"[" + joined + b"]")] == names


@pytest.mark.parametrize("fill", ["a", "\x01", "ü", "😀"])
def test_longest_names_that_pass_fit_into_a_servers_limits(fill: str) -> None:
    """8,190 bytes for a field (gunicorn), 32 KiB for all."""

    def accepted(name: str, count: int) -> list[ObjectRef]:
        query = "&".join(f"input=c/{quote(name)}{number}" for number in range(count))
        found = objects_in(RequestHead("POST", b"/v1/invoke/f", query.encode(), ()), most=32)
        assert found is not None
        return [each.ref for each in found[0].inputs]

    def longest(count: int) -> list[ObjectRef]:
        for length in range(1_022 // len(fill.encode()), 0, -1):
            with contextlib.suppress(GatewayError):
                return accepted(fill * length, count)
        raise AssertionError("no length is accepted")

    for count in (1, 32):
        inputs = [
            Input(
                Binding("n" * 32, ref),
                stat_of(ref, "\x01" * 256),
                SignedUrl(
                    "s3", f"https://swift.example.org/v1/AUTH_p/c/{quote(ref.name)}?{'s' * 450}", 9, {"If-Match": '"e"'}
                ),
            )
            for ref in longest(count)
        ]
        fields = function_fields(BoundObjects(inputs=tuple(inputs), outputs=(), expires_at=1_790_000_000))
        assert all(len(name) + len(value) + 4 <= 8_190 for name, value in fields)
        assert sum(len(name) + len(value) + 4 for name, value in fields) < 32_768


def test_function_gets_the_whole_request_of_each_object() -> None:
    ref = ObjectRef("c", "o")
    bound = BoundObjects(
        inputs=(Input(Binding("image", ref), stat_of(ref), SignedUrl("s3", "http://r", 9, {"If-Match": '"e"'})),),
        outputs=(Output(Binding("small", ref), None, SignedUrl("s3", "http://w", 9, {"If-None-Match": "*"})),),
        expires_at=7,
    )
    (_, read), (_, write) = function_fields(bound)
    about = {"container": "c", "object": "o", "expires_at": 7}
    of_read = {"name": "image", "method": "GET", "url": "http://r", "headers": {"If-Match": '"e"'}}
    assert json.loads(read) == {**about, **of_read, "etag": "e", "size": 5, "content_type": "image/png"}
    of_write = {"name": "small", "method": "PUT", "url": "http://w", "headers": {"If-None-Match": "*"}}
    assert json.loads(write) == {**about, **of_write}


def test_caller_gets_a_state_for_each_object_and_never_a_url() -> None:
    stat = stat_of(ObjectRef("c", "o"))
    results = ObjectResults(
        inputs=(ObjectResult("1", InputState.UNCHANGED, stat), ObjectResult("2", InputState.MISSING)),
        outputs=(ObjectResult("a", OutputState.WRITTEN, stat),),
    )
    assert caller_fields(results) == {
        "Osfaas-Input": '{"name":"1","state":"unchanged","etag":"e","size":5}, {"name":"2","state":"missing"}',
        "Osfaas-Output": '{"name":"a","state":"written","etag":"e","size":5}',
    }
    assert caller_fields(ObjectResults((), ())) == {}


def test_refusal_names_the_object() -> None:
    binding = Binding("a", ObjectRef("c", "o"))
    assert refusal_fields(binding, of_input=True) == {"Osfaas-Input": '{"name":"a","state":"refused"}'}
    assert refusal_fields(binding, of_input=False) == {"Osfaas-Output": '{"name":"a","state":"refused"}'}
