"""The programs of the cluster, in the order in which they are built: the longest first."""

from __future__ import annotations

from tests.cluster.recipes.golang import GoComponent, Patched

KUBERNETES_VERSION = "v1.36.3"
CILIUM_VERSION = "v1.20.2"
ISTIO_VERSION = "v0.0.0-20260826214018-9739e10eb9d7"
GVISOR_VERSION = "v0.0.0-20260905035102-160fafc42237"
_KUBERNETES_MINOR = KUBERNETES_VERSION.split(".")[1]

KUBERNETES = GoComponent(
    "kubernetes",
    target=".",
    output="node-programs",
    links=("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet"),
    linker_flags=(
        f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}"
        f" -X k8s.io/component-base/version.gitMajor=1"
        f" -X k8s.io/component-base/version.gitMinor={_KUBERNETES_MINOR}"
    ),
)
CILIUM = GoComponent(
    "cilium",
    tags="osusergo",
    patched=Patched(
        module="github.com/cilium/cilium",
        version=CILIUM_VERSION,
        checksum="h1:dqiEGIcXc+gqCLYG/l7VCFJ8GHyb4HUrwbZOpkX5dL8=",
        replaced_packages=("pkg/bgp",),
    ),
    copies=(
        ("github.com/cilium/cilium", "bpf", "bpf"),
        ("github.com/cilium/cilium", "pkg/k8s/apis/cilium.io/client/crds", "crds"),
    ),
)
ISTIO = GoComponent(
    "istio",
    patched=Patched(
        module="istio.io/istio",
        version=ISTIO_VERSION,
        checksum="h1:9IbnPSiY/JyfYWT90jSMeLY4h0TeEcApgjD/9GsrIfA=",
        replaced_packages=("pilot/pkg/config/kube/agentgateway",),
    ),
    copies=(
        ("istio.io/istio", "manifests/charts", "charts"),
        ("istio.io/istio", "tools/packaging/common/envoy_bootstrap.json", "envoy_bootstrap.json"),
    ),
)
# Its CNI plugin and the plugin's installer, for sidecars in pods without rights; one test wants them.
ISTIO_CNI = GoComponent("istio-cni")
KNATIVE = GoComponent(
    "knative",
    copies=(
        ("knative.dev/serving", "config/core", "serving"),
        ("knative.dev/networking", "config", "networking"),
        ("knative.dev/caching", "config", "caching"),
    ),
)
# Knative's own tests and the images that they run.
KNATIVE_TESTS = GoComponent(
    "knative-tests",
    tests=(
        ("knative.dev/serving/test/conformance/api/v1", "e2e", "conformance.test"),
        ("knative.dev/serving/test/e2e", "e2e", "e2e.test"),
    ),
)
KNATIVE_TEST_IMAGES = (
    "autoscale",
    "failing",
    "hellovolume",
    "helloworld",
    "pizzaplanetv1",
    "pizzaplanetv2",
    "servingcontainer",
    "sidecarcontainer",
    "singlethreaded",
    "timeout",
    "volumes",
)
# Its broker and channels; one test wants them.
KNATIVE_EVENTING = GoComponent(
    "knative-eventing",
    copies=(
        ("knative.dev/eventing", "config/core", "manifests/core"),
        # The module's zip has no symbolic links, as which `config/core` names these.
        ("knative.dev/eventing", "third_party/eventing-integrations-latest", "manifests/integrations"),
        ("knative.dev/eventing", "config/channels/in-memory-channel", "manifests/channel"),
        ("knative.dev/eventing", "config/brokers/mt-channel-broker", "manifests/broker"),
    ),
)
COREDNS = GoComponent("coredns", target=".", output="coredns")
HELM = GoComponent("helm")
CONTAINERD = GoComponent("containerd")
ETCD = GoComponent("etcd")
RUNC = GoComponent("runc", cgo=True, tags="seccomp")
# The sandbox of tenants at L4 and of their own functions: `runsc`, and containerd's `shim` for it.
GVISOR = GoComponent(
    "gvisor",
    linker_flags=f"-s -w -X gvisor.dev/gvisor/runsc/version.version={GVISOR_VERSION}",
    patched=Patched(
        module="gvisor.dev/gvisor",
        version=GVISOR_VERSION,
        checksum="h1:AU5+CtCvnBnxdZRNcZt1NfSLqgkXZVT3N/u6u1aXg44=",
        # Without CAP_SYS_RESOURCE, which test machines lack, no process becomes harder to kill, and no shim starts.
        edits=(("pkg/shim/v1/manager.go", "oomScoreMax = -999", "oomScoreMax = 0"),),
    ),
)
CYCLONUS = GoComponent("cyclonus")
AGNHOST = GoComponent("agnhost", target=".", output="agnhost")
PAUSE = GoComponent("pause", target=".", output="pause")

# What every cluster needs.
COMPONENTS = (
    KUBERNETES,
    CILIUM,
    ISTIO,
    KNATIVE,
    COREDNS,
    HELM,
    CONTAINERD,
    ETCD,
    RUNC,
    GVISOR,
    PAUSE,
)
