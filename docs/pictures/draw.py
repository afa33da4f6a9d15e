"""Draws the diagrams of the documentation as SVG: `python docs/pictures/draw.py` writes them beside this file.

A diagram is a list of boxes on a grid and of arrows between them. A test proves that the files are what this script
draws, so a diagram is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

COLUMN, ROW = 170, 84
MARGIN, PADDING = 16, 12
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2430; }
  .title { font-weight: 600; }
  .small { font-size: 11.5px; fill: #515a6b; }
  .caption { font-size: 12px; font-weight: 600; fill: #515a6b; }
  rect { fill: #ffffff; stroke: #8a94a6; rx: 6; }
  .ours { fill: #e7f0fb; stroke: #3b73b9; }
  .tenant { fill: #e9f6ec; stroke: #3f8f57; }
  .group { fill: none; stroke-dasharray: 5 4; }
  .paper { fill: #ffffff; stroke: none; }
  path { fill: none; stroke: #515a6b; stroke-width: 1.4; }
  marker path { fill: #515a6b; stroke: none; }
"""


@dataclass(frozen=True)
class Box:
    """A component. Position and size are in grid units; `kind` is `ours`, `tenant` or `other`."""

    name: str
    column: float
    row: float
    title: str
    lines: tuple[str, ...] = ()
    kind: str = "other"
    width: float = 1.0
    height: float = 1.0

    @property
    def left(self) -> float:
        return MARGIN + self.column * COLUMN

    @property
    def top(self) -> float:
        return MARGIN + self.row * ROW

    @property
    def right(self) -> float:
        return self.left + self.width * COLUMN - PADDING * 2

    @property
    def bottom(self) -> float:
        return self.top + self.height * ROW - PADDING * 2

    @property
    def middle(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Arrow:
    """From one box to another, with a label. `offset` moves the label, in pixels."""

    source: str
    target: str
    label: str = ""
    offset: tuple[float, float] = (0, -5)


@dataclass(frozen=True)
class Diagram:
    """One picture; `description` is what a screen reader says."""

    title: str
    description: str
    columns: float
    rows: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    groups: tuple[Box, ...] = field(default=())


def svg(diagram: Diagram) -> str:
    """The diagram as an SVG document."""
    width, height = 2 * MARGIN + diagram.columns * COLUMN - 2 * PADDING, 2 * MARGIN + diagram.rows * ROW - 2 * PADDING
    boxes = {box.name: box for box in diagram.boxes}
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img" aria-label="{escape(diagram.title)}">'
        ),
        f"<title>{escape(diagram.title)}</title><desc>{escape(diagram.description)}</desc><style>{STYLE}</style>",
        (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path d="M0 0 8 4 0 8z"/></marker></defs>'
        ),
        f'<rect class="paper" width="{width:g}" height="{height:g}"/>',
        *map(_group, diagram.groups),
        *(_line(boxes[arrow.source], boxes[arrow.target]) for arrow in diagram.arrows),
        *map(_box, diagram.boxes),
        *(_label(arrow, boxes[arrow.source], boxes[arrow.target]) for arrow in diagram.arrows if arrow.label),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _rect(box: Box, style: str) -> str:
    return (
        f'<rect class="{style}" x="{box.left:g}" y="{box.top:g}" '
        f'width="{box.right - box.left:g}" height="{box.bottom - box.top:g}"/>'
    )


def _group(box: Box) -> str:
    x, y = box.left + 8, box.top + 16
    return f'{_rect(box, "group")}<text class="caption" x="{x:g}" y="{y:g}">{escape(box.title)}</text>'


def _box(box: Box) -> str:
    x, y = box.middle
    first = y - 8 * len(box.lines) + 5
    texts = [f'<text class="title" text-anchor="middle" x="{x:g}" y="{first:g}">{escape(box.title)}</text>']
    texts += [
        f'<text class="small" text-anchor="middle" x="{x:g}" y="{first + 16 * number:g}">{escape(line)}</text>'
        for number, line in enumerate(box.lines, start=1)
    ]
    return _rect(box, box.kind) + "".join(texts)


def _ends(source: Box, target: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow leaves one box and reaches the other: sides that face each other."""
    if target.left >= source.right or target.right <= source.left:
        forward = target.left >= source.right
        y = min(max(source.middle[1], target.top + 8), target.bottom - 8)
        start = source.right if forward else source.left
        end = target.left if forward else target.right
        return (start, min(max(y, source.top + 8), source.bottom - 8)), (end, y)
    down = target.top >= source.bottom
    x = min(max(source.middle[0], target.left + 8), target.right - 8)
    return (min(max(x, source.left + 8), source.right - 8), source.bottom if down else source.top), (
        x,
        target.top if down else target.bottom,
    )


def _line(source: Box, target: Box) -> str:
    (x1, y1), (x2, y2) = _ends(source, target)
    return f'<path marker-end="url(#tip)" d="M{x1:g} {y1:g} {x2:g} {y2:g}"/>'


def _label(arrow: Arrow, source: Box, target: Box) -> str:
    (x1, y1), (x2, y2) = _ends(source, target)
    x, y = (x1 + x2) / 2 + arrow.offset[0], (y1 + y2) / 2 + arrow.offset[1]
    return f'<text class="small" text-anchor="middle" x="{x:g}" y="{y:g}">{escape(arrow.label)}</text>'


CONTEXT = Diagram(
    "System context",
    "Users, storage federations and administrators call the platform; it asks Keystone, reads Swift or S3, and runs "
    "functions in the namespaces of tenants.",
    6.9,
    4.6,
    (
        Box("user", 0, 0, "OpenStack user", ("token",)),
        Box("federation", 0, 1.5, "Storage federation", ("service account",)),
        Box("admin", 0, 3.6, "Cloud administrator", ("kubectl, osfaas",)),
        Box("gateway", 2.4, 0.75, "Gateway", ("data plane, stateless",), "ours"),
        Box("control", 2.4, 2.6, "Admin API", ("writes records",), "ours"),
        Box("controller", 2.4, 3.6, "Controller", ("makes namespaces",), "ours"),
        Box("keystone", 4.6, 0, "Keystone", ("who is it?",)),
        Box("store", 5.9, 1.5, "Swift or S3", ("objects",)),
        Box("function", 4.6, 2.2, "Function", ("of one tenant",), "tenant"),
        Box("kubernetes", 4.6, 3.6, "Kubernetes", ("Istio, Knative",)),
    ),
    (
        Arrow("user", "gateway", "calls"),
        Arrow("federation", "gateway", "HEAD, Want-Digest", (0, 16)),
        Arrow("admin", "control", "/v1/projects", (0, -8)),
        Arrow("admin", "controller", "Tenant records"),
        Arrow("gateway", "keystone", "validate token"),
        Arrow("gateway", "store", "stat, as the caller", (30, -8)),
        Arrow("gateway", "function", "URL for one object", (-6, 24)),
        Arrow("function", "store", "reads", (6, 16)),
        Arrow("controller", "kubernetes", "applies"),
        Arrow("kubernetes", "function", "runs", (20, 4)),
    ),
)

CALL = Diagram(
    "One call",
    "A request passes the strict head check, identity, admission and the stat of the object; a known digest is "
    "answered at once, a missing one is computed by the tenant's function and checked before it is answered.",
    7.4,
    3.3,
    (
        Box("caller", 0, 0, "Caller", ("X-Auth-Token",)),
        Box("head", 1.28, 0, "Strict head", ("request id",), "ours"),
        Box("identity", 2.56, 0, "Identity", ("token → caller",), "ours"),
        Box("admission", 3.84, 0, "Admission", ("tenant, limits",), "ours"),
        Box("stat", 5.12, 0, "Stat", ("with the token",), "ours"),
        Box("known", 6.4, 0, "Known?", ("ETag and size",), "ours"),
        Box("compute", 6.4, 1.15, "Compute once", ("slot, capability",), "ours"),
        Box("function", 5.12, 1.15, "Function", ("reads one object",), "tenant"),
        Box("check", 5.12, 2.3, "Check the reply", ("stat again",), "ours"),
        Box("answer", 0, 2.3, "Answer", ("Digest, JSON",)),
    ),
    (
        Arrow("caller", "head"),
        Arrow("head", "identity"),
        Arrow("identity", "admission"),
        Arrow("admission", "stat"),
        Arrow("stat", "known"),
        Arrow("known", "compute", "no", (14, 4)),
        Arrow("compute", "function"),
        Arrow("function", "check"),
        Arrow("check", "answer", "same object, same digests; a known digest goes here directly"),
    ),
)

TENANT = Diagram(
    "One tenant",
    "A record becomes a namespace with quota, network policies, access rights and functions; traffic reaches it only "
    "through the local gateway, and leaves only to DNS and the object store.",
    6.6,
    3.75,
    (
        Box("record", 0, 1.4, "Tenant record", ("spec by admins", "status by us"), "ours", height=1.1),
        Box("controller", 1.35, 1.4, "Controller", ("observe, plan,", "execute, report"), "ours", height=1.1),
        Box("quota", 3.0, 0.4, "Quota, limits", ("pods, CPU, memory",), "tenant"),
        Box("network", 3.0, 1.4, "NetworkPolicies", ("closed by default",), "tenant"),
        Box("access", 3.0, 2.4, "Accounts, RBAC", ("no API token",), "tenant"),
        Box("function", 4.2, 1.4, "Functions", ("Knative Services",), "tenant"),
        Box("gateway", 5.6, 0.4, "Local gateway", ("of Istio",)),
        Box("store", 5.6, 1.4, "Object store", ("and DNS",)),
        Box("rest", 5.6, 2.4, "Everything else", ("closed",)),
    ),
    (
        Arrow("record", "controller"),
        Arrow("controller", "quota"),
        Arrow("controller", "network"),
        Arrow("controller", "access"),
        Arrow("gateway", "function", "calls", (-4, -6)),
        Arrow("function", "store", "reads"),
    ),
    (Box("namespace", 2.85, 0, "namespace faas-<project id>", width=2.45, height=3.6),),
)

DEPLOYMENT = Diagram(
    "Deployment",
    "Istio's ingress gateway terminates TLS in front of the gateway and the admin API; the controller runs in two "
    "replicas; tenants have a namespace each; Redis or Valkey shares limits if there is one.",
    6.6,
    3.85,
    (
        Box("callers", 0, 1.3, "Callers", ("HTTPS",)),
        Box("ingress", 1.35, 1.3, "Ingress gateway", ("Istio: TLS, HTTP/2",)),
        Box("gateway", 2.9, 0.4, "Gateway", ("replicas, reads only",), "ours"),
        Box("admin", 2.9, 1.4, "Admin API", ("writes Tenants",), "ours"),
        Box("controller", 2.9, 2.4, "Controller", ("two, one leads",), "ours"),
        Box("redis", 1.35, 0, "Redis, Valkey", ("optional: limits",)),
        Box("local", 4.25, 0.4, "Local gateway", ("Istio",)),
        Box("tenant", 5.55, 0.4, "faas-<id>", ("functions, one tenant",), "tenant"),
        Box("api", 4.25, 2.4, "Kubernetes API", ()),
        Box("openstack", 5.55, 2.4, "Keystone, Swift", ("outside the cluster",)),
    ),
    (
        Arrow("callers", "ingress"),
        Arrow("ingress", "gateway"),
        Arrow("ingress", "admin"),
        Arrow("gateway", "redis"),
        Arrow("gateway", "local"),
        Arrow("local", "tenant"),
        Arrow("controller", "api"),
        Arrow("tenant", "openstack", "objects", (26, 0)),
    ),
    (Box("system", 2.75, 0, "namespace osfaas-system", width=1.3, height=3.7),),
)

DIAGRAMS = {"context": CONTEXT, "one-call": CALL, "one-tenant": TENANT, "deployment": DEPLOYMENT}

if __name__ == "__main__":
    for name, diagram in DIAGRAMS.items():
        Path(__file__).with_name(f"{name}.svg").write_text(svg(diagram), encoding="utf-8")
