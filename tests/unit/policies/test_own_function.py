"""A tenant's own function: which are refused, and how the others are built."""

from dataclasses import replace
from typing import Any

import pytest

from policies.labels import OBJECTS, SANDBOX
from policies.model import CatalogueFunction, IsolationLevel, Limits, Manifest, Platform
from policies.own_function import MAX_NAME, MAX_TAG, OwnFunction, OwnFunctions, TrafficTarget
from policies.own_function_rules import capacity_rejection, image_problem, is_allowed, rejection_of
from policies.own_function_service import build_own_function, missing_revisions
from policies.quota import build_quota
from policies.tenant import build_tenant
from tests.unit.policies.examples import PLATFORM as BARE
from tests.unit.policies.examples import SPEC, SUSPENDED, at

DIGEST = "@sha256:" + "0a" * 32
IMAGE = f"registry.example.org/atlas/hello{DIGEST}"
PLATFORM = replace(BARE, own_function_images=("registry.example.org/atlas",))
HELLO = OwnFunction(name="hello", image=IMAGE)


def built(function: OwnFunction = HELLO, platform: Platform = PLATFORM, **more: Any) -> Manifest:
    return build_own_function(SPEC, platform, function, **more)


def services(*functions: OwnFunction, spec: Any = SPEC) -> dict[str, Manifest]:
    objects = build_tenant(spec, PLATFORM, OwnFunctions(functions))
    return {each["metadata"]["name"]: each for each in objects.manifests if each["apiVersion"].startswith("serving")}


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("registry.example.org/atlas/hello:latest", "a tag, which can be moved"),
        ("registry.example.org/atlas/hello", "no digest"),
        (f"hello{DIGEST}", "host of a registry"),
        (f"library/hello{DIGEST}", "host of a registry"),
        (f"registry.example.org/{DIGEST}", "host of a registry"),
        ("registry.example.org/atlas/hello@sha256:abc", "64 hex digits"),
        ("registry.example.org/atlas/hello@sha512:" + "0" * 128, "64 hex digits"),
        (f"registry.example.org/atlas/hello:1{DIGEST}", "malformed"),
        (f"registry.example.org/atlas/../hello{DIGEST}", "malformed"),
        (f"registry.example.org/atlas//hello{DIGEST}", "malformed"),
        (f"https://registry.example.org/hello{DIGEST}", "host of a registry"),
        (f"user@registry.example.org/hello{DIGEST}", "host of a registry"),
        (f"registry.example.org/{'a' * 600}{DIGEST}", "longer than"),
    ],
)
def test_an_image_that_is_not_named_for_ever_is_refused(image: str, why: str) -> None:
    problem = image_problem(image)
    assert problem is not None
    assert why in problem


@pytest.mark.parametrize("image", [IMAGE, f"localhost:5000/hello{DIGEST}", f"dev.local/a/b-c/d_e.f{DIGEST}"])
def test_an_image_by_digest_is_accepted(image: str) -> None:
    assert image_problem(image) is None


@pytest.mark.parametrize(
    ("repository", "allowed"),
    [
        ("registry.example.org/atlas/hello", True),
        ("registry.example.org/atlas", True),
        ("registry.example.org/atlas2/hello", False),
        ("registry.example.org.evil.org/atlas/hello", False),
        ("registry.example.org:444/atlas/hello", False),
        ("other.example.org/registry.example.org/atlas/hello", False),
    ],
)
def test_the_operators_list_is_compared_by_whole_segments(repository: str, allowed: bool) -> None:
    assert is_allowed(repository + DIGEST, ("registry.example.org/atlas",)) is allowed


def test_without_a_list_no_image_is_allowed() -> None:
    rejection = rejection_of(HELLO, SPEC, BARE)
    assert rejection is not None
    assert (rejection.reason, rejection.stops) == ("ImageNotAllowed", False)
    assert "the operator allows no images" in rejection.message


def test_an_image_elsewhere_is_refused_with_the_allowed_places() -> None:
    rejection = rejection_of(replace(HELLO, image=f"other.org/x{DIGEST}"), SPEC, PLATFORM)
    assert rejection is not None
    assert "registry.example.org/atlas" in rejection.message


@pytest.mark.parametrize("level", IsolationLevel)
def test_code_of_ones_own_needs_a_user_namespace(level: IsolationLevel) -> None:
    """Below L3 a container escape is root on the node; what ran there earlier must go."""
    rejection = rejection_of(HELLO, at(level), PLATFORM)
    if level >= IsolationLevel.L3:
        assert rejection is None
    else:
        assert rejection is not None
        assert (rejection.reason, rejection.stops) == ("IsolationTooLow", True)


def test_the_name_of_a_function_of_the_catalogue_is_taken() -> None:
    """Also where the tenant has not that function: it may get it tomorrow."""
    platform = replace(PLATFORM, functions={"hello": CatalogueFunction(name="hello", image="i")})
    rejection = rejection_of(HELLO, replace(SPEC, functions=()), platform)
    assert rejection is not None
    assert rejection.reason == "NameConflict"


def test_a_pod_that_never_fits_is_refused_with_the_numbers() -> None:
    rejection = rejection_of(replace(HELLO, memory_mib=9000), SPEC, PLATFORM)
    assert rejection is not None
    assert rejection.reason == "LimitsTooSmall"
    assert "9000 MiB" in rejection.message
    assert "4096 MiB" in rejection.message


def test_what_other_functions_keep_is_not_promised_twice() -> None:
    limits = Limits(pods=4, cpu_millis=1000, memory_mib=1024)
    other = replace(HELLO, name="other", min_scale=3)
    assert capacity_rejection(HELLO, [other], limits) is None
    assert capacity_rejection(replace(HELLO, min_scale=1), [replace(HELLO, min_scale=3)], limits) is None
    rejection = capacity_rejection(replace(HELLO, min_scale=2), [other], limits)
    assert rejection is not None
    assert "2 pods of hello need 500 millicores and 512 MiB" in rejection.message
    assert "1 pods, 250 millicores and 256 MiB are not reserved" in rejection.message


def test_it_is_as_restricted_as_a_function_of_the_catalogue() -> None:
    own, catalogue = services(HELLO)["hello"], services(HELLO)["checksums"]
    pod, usual = (each["spec"]["template"]["spec"] for each in (own, catalogue))
    for field in ("serviceAccountName", "automountServiceAccountToken", "enableServiceLinks"):
        assert pod[field] == usual[field]
    (container,), (known,) = pod["containers"], usual["containers"]
    assert known["securityContext"].items() <= container["securityContext"].items()
    assert container["securityContext"]["runAsUser"] == 65532
    assert own["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"
    assert own["metadata"]["labels"]["osfaas.dev/callable"] == "true"
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]


def test_the_same_specification_is_the_same_revision_and_any_other_is_another() -> None:
    def name(function: OwnFunction = HELLO, platform: Platform = PLATFORM) -> str:
        found: str = built(function, platform)["spec"]["template"]["metadata"]["name"]
        return found

    assert name() == name()
    assert name(replace(HELLO, traffic=(TrafficTarget(100, "hello-00000000"),))) == name()
    others = {
        name(replace(HELLO, environment={"A": "1"})),
        name(replace(HELLO, args=("x",))),
        name(replace(HELLO, command=("x",))),
        name(replace(HELLO, attempt=1)),
        name(platform=replace(PLATFORM, queue_proxy_memory_mib=64)),
        build_own_function(at(IsolationLevel.L5), PLATFORM, HELLO)["spec"]["template"]["metadata"]["name"],
    }
    assert len(others | {name()}) == 7


def test_own_function_in_the_sandbox_has_no_sidecar() -> None:
    """The namespace's label would give it one, with which its pod does not start."""
    meshed = replace(BARE, sidecars=True, own_function_images=("registry.example.org",))
    boxed = replace(meshed, sandbox_runtime_class="gvisor")
    with_proxy, without, at_top, plain = (
        build_own_function(spec, platform, HELLO)["spec"]["template"]["metadata"]
        for spec, platform in (
            (SPEC, meshed),
            (SPEC, boxed),
            (at(IsolationLevel.L4), boxed),
            (SPEC, replace(boxed, sidecars=False)),
        )
    )
    assert "sidecar.istio.io/proxyCPU" in with_proxy["annotations"]
    assert "sidecar.istio.io/inject" not in with_proxy["labels"]
    assert "sidecar.istio.io/proxyCPU" not in without["annotations"]
    assert without["labels"]["sidecar.istio.io/inject"] == "false"
    # Their namespaces ask for no sidecars.
    assert "sidecar.istio.io/inject" not in at_top["labels"] | plain["labels"]


def test_a_platform_that_gains_a_sandbox_makes_another_revision() -> None:
    """Its pods are then replaced. Admission gives them the runtime class; the template only says which."""
    templates = []
    for platform in (
        PLATFORM,
        replace(PLATFORM, sandbox_runtime_class="gvisor", sandbox_own_functions=False),
        replace(PLATFORM, sandbox_runtime_class="gvisor"),
        replace(PLATFORM, sandbox_runtime_class="kata"),
    ):
        templates.append(built(platform=platform)["spec"]["template"])
        assert "runtimeClassName" not in templates[-1]["spec"]
    assert [template["metadata"]["labels"].get(SANDBOX) for template in templates] == [None, None, "gvisor", "kata"]
    assert len({template["metadata"]["name"] for template in templates}) == 3


@pytest.mark.parametrize("path", [None, "/healthz"])
def test_nothing_in_the_template_is_left_to_knatives_defaults(path: str | None) -> None:
    """They are set once, with the name of the revision; a second apply without them is rejected by its webhook."""
    pod = built(replace(HELLO, health_path=path))["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["readinessProbe"]["successThreshold"] == 1
    assert container["readinessProbe"].keys() & {"tcpSocket", "httpGet"}
    assert {"containerConcurrency", "timeoutSeconds", "enableServiceLinks"} <= pod.keys()
    assert {"allowPrivilegeEscalation", "runAsNonRoot", "capabilities", "seccompProfile"} <= container[
        "securityContext"
    ].keys()


@pytest.mark.parametrize(("objects", "label"), [(False, "false"), (True, "true")])
def test_objects_are_for_functions_that_take_them_and_the_flag_makes_no_revision(objects: bool, label: str) -> None:
    service = built(replace(HELLO, objects=objects))
    assert service["metadata"]["labels"][OBJECTS] == label
    assert service["spec"] == built(HELLO)["spec"]


def test_names_of_revisions_and_hosts_of_tags_are_dns_labels() -> None:
    longest = replace(HELLO, name="a" * MAX_NAME)
    assert len(built(longest)["spec"]["template"]["metadata"]["name"]) <= 63
    assert MAX_TAG + 1 + MAX_NAME <= 63


def test_traffic_goes_where_it_is_said() -> None:
    shares = (TrafficTarget(90, "hello-11111111"), TrafficTarget(10, tag="canary"))
    assert built(replace(HELLO, traffic=shares))["spec"]["traffic"] == [
        {"percent": 90, "latestRevision": False, "revisionName": "hello-11111111"},
        {"percent": 10, "latestRevision": True, "tag": "canary"},
    ]


def test_the_share_of_a_revision_that_is_gone_goes_to_the_latest() -> None:
    """Knative would route nothing at all. A suspension takes all revisions away."""
    function = replace(HELLO, traffic=(TrafficTarget(100, "hello-11111111"),))
    kept = built(function, revisions={"hello-11111111"})
    assert missing_revisions(function, kept) == ()
    gone = built(function, revisions=frozenset())
    assert gone["spec"]["traffic"] == [{"percent": 100, "latestRevision": True}]
    assert missing_revisions(function, gone) == ("hello-11111111",)
    # The revision that this very specification makes need not exist yet.
    own = gone["spec"]["template"]["metadata"]["name"]
    function = replace(HELLO, traffic=(TrafficTarget(100, own),))
    assert missing_revisions(function, built(function, revisions=frozenset())) == ()


def test_a_refused_function_is_left_out_and_what_was_built_of_it_stays() -> None:
    refused = replace(HELLO, name="tagged", image="registry.example.org/atlas/hello:1")
    objects = build_tenant(SPEC, PLATFORM, OwnFunctions((HELLO, refused), malformed=frozenset({"odd"})))
    assert set(objects.rejected) == {"tagged"}
    assert objects.kept == {"tagged", "odd"}
    assert objects.problems == ()
    low = build_tenant(at(IsolationLevel.L2), PLATFORM, OwnFunctions((HELLO,)))
    assert low.kept == frozenset()


def test_a_suspended_tenant_has_none() -> None:
    assert services(HELLO, spec=SUSPENDED) == {}
    assert build_tenant(SUSPENDED, PLATFORM, OwnFunctions((HELLO,))).kept == frozenset()


def test_the_quota_counts_records_and_their_services() -> None:
    """Kubernetes counts too: writers that ask no API, and two requests at once."""
    few, more = (build_quota(replace(SPEC, limits=Limits(own_functions=n)), PLATFORM)["spec"]["hard"] for n in (0, 3))
    assert (few["count/functions.osfaas.dev"], more["count/functions.osfaas.dev"]) == ("0", "3")
    key = "count/services.serving.knative.dev"
    assert int(more[key]) - int(few[key]) == 3
