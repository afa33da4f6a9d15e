"""What is made of manifests before they are applied."""

import contextlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tls import make_certificate

from policies.model import Platform
from tenancy.platform.errors import PlatformError
from tenancy.platform.helm import Charts
from tenancy.platform.install import overlay_problems, platform_in
from tenancy.platform.sources import (
    apply_phases,
    combined,
    merge_values,
    queue_proxy_settings,
    read_manifests,
    read_values,
    render,
    with_settings,
)
from tests.unit.manifests.rendered import KUBECTL, MANIFESTS, rendered


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """One server over https, whose authority is the system's, and one over http: their URLs.

    `/manifest` is one; `/moved` leads to the other server's, `/near` to the same server's.
    """
    certificate = make_certificate(tmp_path / "web.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    targets: dict[str, str] = {}

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target = targets.get(f"{self.server.server_port}{self.path}")
            self.send_response(302 if target else 200)
            if target:
                self.send_header("Location", target)
            self.end_headers()
            self.wfile.write(b"" if target else b"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")

        def log_message(self, *_: object) -> None:
            pass

    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)) for _ in range(2)]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        servers[0].socket = context.wrap_socket(servers[0].socket, server_side=True)
        for server in servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
        secure, plain = (server.server_port for server in servers)
        targets[f"{secure}/moved"] = f"http://127.0.0.1:{plain}/manifest"
        targets[f"{secure}/near"] = "/manifest"
        yield f"https://127.0.0.1:{secure}", f"http://127.0.0.1:{plain}"


def test_manifests_do_not_come_over_http(web: tuple[str, str]):
    """Whoever is on the way could put anything on the cluster."""
    with pytest.raises(PlatformError, match="https"):
        read_manifests(f"{web[1]}/manifest")
    with pytest.raises(PlatformError, match="https"):
        Charts(web[1]).words("base")


def test_a_redirect_to_http_is_not_followed(web: tuple[str, str]):
    """A mirror that is set up badly would undo the https of the address."""
    with pytest.raises(PlatformError, match="redirects to http://"):
        read_manifests(f"{web[0]}/moved")


@pytest.mark.parametrize("path", ["manifest", "near"])
def test_manifests_come_over_https(web: tuple[str, str], path: str):
    """As they are, or where a redirect leads to."""
    assert [item["kind"] for item in read_manifests(f"{web[0]}/{path}")] == ["ConfigMap"]


def thing(kind: str, name: str, api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def crd(group: str, kind: str) -> dict[str, Any]:
    names = {"group": group, "names": {"kind": kind}}
    return thing("CustomResourceDefinition", f"{kind.lower()}s.{group}", "apiextensions.k8s.io/v1", spec=names)


def test_kinds_come_first_and_their_instances_last():
    """A webhook among the objects may have to answer for the instances."""
    image = thing("Image", "queue", "caching.internal.knative.dev/v1alpha1")
    deployment, namespace = thing("Deployment", "webhook", "apps/v1"), thing("Namespace", "knative-serving")
    kind = crd("caching.internal.knative.dev", "Image")
    stages = apply_phases([image, deployment, kind, namespace])
    assert stages.kinds == (kind,)
    assert stages.objects == (namespace, deployment)
    assert stages.instances == (image,)
    assert len(stages) == 4


def test_an_object_that_is_given_twice_counts_once():
    """Knative's releases repeat the CRDs in two files."""
    first, second = thing("ConfigMap", "a", data={"x": "1"}), thing("ConfigMap", "a", data={"x": "2"})
    assert apply_phases([first, second]).objects == (first,)


def test_settings_are_laid_over_and_examples_dropped():
    """The example's checksum would complain about a changed example, so both go."""
    theirs = thing("ConfigMap", "config-network", data={"_example": "…", "a": "theirs", "b": "theirs"})
    theirs["metadata"]["annotations"] = {"knative.dev/example-checksum": "1", "other": "2"}
    (result,) = with_settings([theirs], [thing("ConfigMap", "config-network", data={"b": "ours"})])
    assert result["data"] == {"a": "theirs", "b": "ours"}
    assert result["metadata"]["annotations"] == {"other": "2"}
    assert theirs["data"]["_example"] == "…"


def test_a_setting_of_an_unknown_configmap_is_kept():
    """A newer Knative may have moved it; losing it without a word would be worse."""
    own = thing("ConfigMap", "config-new", data={"b": "ours"})
    assert with_settings([], [own]) == [own]


def test_only_configmaps_are_changed():
    """A Deployment of the same name is none."""
    deployment = thing("Deployment", "config-network", "apps/v1")
    assert with_settings([deployment], []) == [deployment]


def test_queue_proxy_is_sized_as_the_quotas_are():
    """Also where the settings in the tree say something else."""
    sizes = {"queue_proxy_cpu_millis": 40, "queue_proxy_cpu_limit_millis": 60, "queue_proxy_memory_mib": 50}
    platform = Platform(functions={}, **sizes)
    result = combined(rendered("manifests/platform"), [queue_proxy_settings(platform)])
    (deployment,) = [item["data"] for item in result if item["metadata"]["name"] == "config-deployment"]
    assert (deployment["queue-sidecar-cpu-request"], deployment["queue-sidecar-cpu-limit"]) == ("40m", "60m")
    assert deployment["queue-sidecar-memory-request"] == deployment["queue-sidecar-memory-limit"] == "50Mi"
    assert "registries-skipping-tag-resolving" in deployment


def test_the_settings_in_the_tree_fit_the_default_platform():
    """For those who apply them without `install`."""
    (deployment,) = [i["data"] for i in rendered("manifests/platform") if i["metadata"]["name"] == "config-deployment"]
    assert queue_proxy_settings(Platform(functions={}))["data"].items() <= deployment.items()


def test_values_merge_as_helm_merges_them():
    """Mappings by key, lists as a whole, null to take something away."""
    below = {"a": {"x": 1, "y": 2}, "list": [1], "gone": {"z": 1}}
    assert merge_values(below, {"a": {"y": 3}, "list": [2], "gone": None}) == {
        "a": {"x": 1, "y": 3}, "list": [2], "gone": None,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["- a list", "kind: OnlyAKind", "{unclosed: ["])
def test_what_is_no_manifest_is_refused_with_its_place(tmp_path: Path, text: str):
    """The path is in the sentence."""
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(PlatformError, match=r"wrong\.yaml"):
        read_manifests(str(file))


def test_a_folder_without_manifests_is_refused(tmp_path: Path):
    """A misspelled path must not install nothing."""
    with pytest.raises(PlatformError, match=r"no \*\.yaml"):
        read_manifests(str(tmp_path))
    with pytest.raises(PlatformError):
        read_manifests(str(tmp_path / "absent.yaml"))


def test_helms_values_are_read_or_refused(tmp_path: Path):
    """Both files in the tree are mappings; a list is none."""
    for name in ("istiod", "gateway"):
        assert read_values(MANIFESTS / "platform" / "istio" / f"{name}.yaml")["global"]["networkPolicy"] == {
            "enabled": False
        }
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(PlatformError, match="mapping"):
        read_values(tmp_path / "list.yaml")


def test_a_missing_or_refusing_kubectl_is_said(tmp_path: Path):
    """With the command, so that it can be tried by hand."""
    with pytest.raises(PlatformError, match="kustomize"):
        render("no-such-kubectl", tmp_path)
    with pytest.raises(PlatformError, match="kustomize"):
        render(str(KUBECTL), tmp_path)


def test_charts_are_named_as_helm_wants_them(tmp_path: Path):
    """Folders in both of Istio's arrangements, repositories and OCI registries."""
    for chart in ("base", "istio-control/istio-discovery"):
        (tmp_path / chart).mkdir(parents=True)
        (tmp_path / chart / "Chart.yaml").touch()
    folder = Charts(str(tmp_path))
    assert folder.words("base") == [str(tmp_path / "base")]
    assert folder.words("istiod") == [str(tmp_path / "istio-control/istio-discovery")]
    with pytest.raises(PlatformError, match="gateway"):
        folder.words("gateway")
    assert Charts("https://charts.example.org", "1.30.1").words("base") == [
        "base", "--repo", "https://charts.example.org", "--version", "1.30.1",
    ]  # fmt: skip
    assert Charts("oci://r.example.org/charts/").words("istiod") == ["oci://r.example.org/charts/istiod"]


def test_the_example_overlay_agrees_with_itself():
    """The platform file is taken from it."""
    overlay = rendered("manifests/overlays/example")
    assert overlay_problems(overlay, platform_in(overlay)) == []


def test_an_overlay_that_contradicts_the_platform_file_is_refused():
    """Policies for one platform and a controller for another leave something open."""
    overlay = rendered("manifests/overlays/example")
    problems = overlay_problems(
        overlay, Platform(functions={}, system_namespace="elsewhere", gateway_labels={"a": "b"})
    )
    text = " ".join(problems)
    assert "differs from the platform file" in text
    assert "Deployment osfaas-gateway is in osfaas-system" in text
    assert "gateway_labels" in text


def test_an_overlay_without_a_platform_file_is_refused():
    """The controller would not start."""
    with pytest.raises(PlatformError, match="osfaas-platform"):
        platform_in(rendered("manifests/gateway"))
