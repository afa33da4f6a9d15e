"""Objects are bound as the store says, in order, and every one of them is looked up again; nothing is left behind."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Mapping

import pytest

from gateway.calls.call import Call
from gateway.compute.bindings import Binding, Bindings, InputState, OutputState
from gateway.compute.object_binder import ObjectBinder
from gateway.errors import ErrorCode, GatewayError
from gateway.http.context import RequestContext
from gateway.identity.caller import AccessRule, Caller
from gateway.limits.model import LimitSubject
from gateway.objects.model import ByteStream, Capability, ObjectKind, ObjectRef, ObjectStat, SignedUrl
from gateway.policy.names import Rule
from policies.names import NamespaceName, ProjectId
from tenancy.directory.protocol import Tenant
from tests.garbage import cycles

PROJECT = ProjectId("p")
CALLER = Caller("token", "u", "alice", PROJECT, "demo", frozenset(["member"]), 0)
A, B, NEW = Binding("a", ObjectRef("c", "a")), Binding("b", ObjectRef("c", "b")), Binding("new", ObjectRef("c", "new"))


def stat_of(name: str, etag: str = "e", size: int = 5) -> ObjectStat:
    return ObjectStat(PROJECT, "http://s.test/v1/AUTH_p", ObjectRef("c", name), etag, size, ObjectKind.PLAIN, "x/y")


class Store:
    """Objects by name: a stat, or the error of a stat."""

    def __init__(self, **objects: ObjectStat | ErrorCode) -> None:
        self.objects: dict[str, ObjectStat | ErrorCode] = dict(objects)
        self.signs = True
        self.signed: list[tuple[str, bool]] = []

    async def stat(self, caller: Caller, ref: ObjectRef) -> ObjectStat:
        found = self.objects.get(ref.name, ErrorCode.OBJECT_NOT_FOUND)
        if isinstance(found, ErrorCode):
            raise GatewayError(found) from ConnectionError("cause")
        return found

    async def capabilities(self, caller: Caller, stat: ObjectStat, *, bound: bool = False) -> AsyncIterator[Capability]:
        yield ByteStream()
        if self.signs:
            self.signed.append((stat.ref.name, bound))
            yield SignedUrl("tempurl", f"http://read/{stat.ref.name}", 300)

    async def write_url(self, caller: Caller, ref: ObjectRef, *, new: bool) -> SignedUrl | None:
        self.signed.append((ref.name, new))
        return SignedUrl("s3", f"http://write/{ref.name}", 200) if self.signs else None


class Admission:
    def __init__(self) -> None:
        self.counted: list[int] = []

    async def count(self, call: Call, requests: int = 1) -> None:
        self.counted.append(requests)

    def token_rejected(self, call: Call, error: GatewayError) -> GatewayError:
        return GatewayError(ErrorCode.TOKEN_INVALID, headers={"WWW-Authenticate": "Keystone"})


def call_of(caller: Caller = CALLER) -> Call:
    tenant = Tenant(PROJECT, NamespaceName("faas-p"), {})
    return Call(
        caller=caller,
        tenant=tenant,
        subject=LimitSubject(PROJECT, "u"),
        context=RequestContext("req-1"),
        rule=Rule.CHECKSUMS_GET,
    )


def binder(store: Store, admission: Admission | None = None) -> ObjectBinder:
    return ObjectBinder(admission or Admission(), store, clock=lambda: 1_000.9)  # type: ignore[arg-type]


async def refused(store: Store, bindings: Bindings, caller: Caller = CALLER) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await binder(store).bind(call_of(caller), bindings)
    return caught.value


@pytest.mark.parametrize("kind", [ErrorCode.OBJECT_FORBIDDEN, ErrorCode.OBJECT_NOT_FOUND, ErrorCode.STORE_UNAVAILABLE])
async def test_error_of_the_store_is_the_callers_and_names_the_input(kind: ErrorCode) -> None:
    error = await refused(Store(a=stat_of("a"), b=kind), Bindings(inputs=(A, B)))
    assert error.kind is kind
    assert error.headers["Osfaas-Input"] == '{"name":"b","state":"refused"}'
    assert isinstance(error.__cause__, ConnectionError)


async def test_first_object_that_fails_is_named() -> None:
    store = Store(a=ErrorCode.OBJECT_FORBIDDEN, b=ErrorCode.STORE_UNAVAILABLE)
    assert (await refused(store, Bindings(inputs=(A, B)))).kind is ErrorCode.OBJECT_FORBIDDEN


async def test_rejected_token_is_challenged() -> None:
    error = await refused(Store(a=ErrorCode.TOKEN_INVALID), Bindings(inputs=(A,)))
    assert dict(error.headers) == {"WWW-Authenticate": "Keystone", "Osfaas-Input": '{"name":"a","state":"refused"}'}


@pytest.mark.parametrize("kind", [ErrorCode.OBJECT_FORBIDDEN, ErrorCode.STORE_UNAVAILABLE])
async def test_output_whose_absence_is_not_certain_gets_no_url(kind: ErrorCode) -> None:
    store = Store(new=kind)
    error = await refused(store, Bindings(outputs=(NEW,)))
    assert (error.kind, store.signed) == (kind, [])


async def test_output_that_exists_gets_no_url_unless_it_may_be_replaced() -> None:
    store = Store(a=stat_of("a"))
    assert (await refused(store, Bindings(outputs=(A,)))).kind is ErrorCode.OBJECT_EXISTS
    assert store.signed == []
    bound = await binder(store).bind(call_of(), Bindings(outputs=(A,), overwrite=True))
    assert bound.outputs[0].before == stat_of("a")
    assert store.signed == [("a", False)]


@pytest.mark.parametrize("bindings", [Bindings(inputs=(A,)), Bindings(outputs=(NEW,))])
async def test_without_a_url_the_call_is_refused(bindings: Bindings) -> None:
    """A stream through the gateway is no capability here: the body is the caller's."""
    store = Store(a=stat_of("a"))
    store.signs = False
    assert (await refused(store, bindings)).kind is ErrorCode.OBJECT_NO_CAPABILITY
    ruled = Caller(
        "token", "u", "alice", PROJECT, "demo", frozenset(), 0, access_rules=(AccessRule("function", "POST", "/**"),)
    )
    assert (await refused(store, bindings, ruled)).kind is ErrorCode.OBJECT_DENIED_BY_RULE


async def test_objects_are_bound_in_order_and_each_counts_as_a_call() -> None:
    store, admission = Store(a=stat_of("a"), b=stat_of("b", size=7)), Admission()
    bound = await binder(store, admission).bind(call_of(), Bindings(inputs=(A, B), outputs=(NEW,)))
    assert [each.url.url for each in bound.inputs] == ["http://read/a", "http://read/b"]
    assert [each.url.url for each in bound.outputs] == ["http://write/new"]
    assert (bound.size, bound.expires_at) == (12, 1_200)
    assert admission.counted == [3]
    assert sorted(store.signed) == [("a", True), ("b", True), ("new", True)]


@pytest.mark.parametrize(
    ("later", "of_input", "of_output"),
    [
        ({}, InputState.MISSING, OutputState.MISSING),
        ({"a": stat_of("a"), "b": stat_of("b")}, InputState.UNCHANGED, OutputState.UNCHANGED),
        ({"a": stat_of("a", "f"), "b": stat_of("b", "f")}, InputState.CHANGED, OutputState.WRITTEN),
        ({"a": stat_of("a", size=6), "b": stat_of("b", size=6)}, InputState.CHANGED, OutputState.WRITTEN),
        ({"a": ErrorCode.STORE_UNAVAILABLE, "b": ErrorCode.TOKEN_INVALID}, InputState.UNKNOWN, OutputState.UNKNOWN),
    ],
)
async def test_states_compare_what_is_there_with_what_was(
    later: Mapping[str, ObjectStat | ErrorCode], of_input: InputState, of_output: OutputState
) -> None:
    store = Store(a=stat_of("a"), b=stat_of("b"))
    made, call = binder(store), call_of()
    bound = await made.bind(call, Bindings(inputs=(A,), outputs=(B,), overwrite=True))
    store.objects = dict(later)
    results = await made.results(call, bound)
    assert [(each.name, each.state) for each in results.inputs] == [("a", of_input)]
    assert [(each.name, each.state) for each in results.outputs] == [("b", of_output)]


async def test_new_object_is_written() -> None:
    store = Store()
    made, call = binder(store), call_of()
    bound = await made.bind(call, Bindings(outputs=(NEW,)))
    store.objects["new"] = stat_of("new")
    (result,) = (await made.results(call, bound)).outputs
    assert (result.state, result.stat) == (OutputState.WRITTEN, stat_of("new"))


async def test_refused_call_leaves_nothing_for_the_garbage_collector() -> None:
    made, bindings = (
        binder(Store(a=stat_of("a"), b=ErrorCode.OBJECT_FORBIDDEN)),
        Bindings(inputs=(A, B), outputs=(NEW,)),
    )

    async def failure() -> GatewayError:
        # Not by pytest.raises, which keeps what it caught.
        try:
            await made.bind(call_of(), bindings)
        except GatewayError as error:
            return error
        raise AssertionError("the call succeeded")

    await failure()
    with cycles() as found:
        failures = [weakref.ref(await failure()) for _ in range(5)]
        # The loop forgets the last task in its next iteration.
        await asyncio.sleep(0)
        assert [each() for each in failures] == [None] * 5
    assert found == []
