"""Checks that images are named by their digests."""

import re
from collections.abc import Iterator

from policies.model import Platform
from tenancy.platform.cluster_facts import ClusterFacts, Finding, Severity

_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")


def check_images(facts: ClusterFacts, platform: Platform) -> Iterator[Finding]:
    """Findings about images without a digest."""
    images = {
        **facts.images,
        **{f"function {name}": function.image for name, function in platform.functions.items()},
    }
    moving = [f"{name} ({image})" for name, image in sorted(images.items()) if not _DIGEST.fullmatch(image)]
    if moving:
        yield Finding(
            Severity.ADVICE, "image.no_digest",
            f"Images without a digest: {', '.join(moving)}. Anyone who can push there can change what runs.",
            "Set a digest (NAME@sha256:…) in the overlay's `images` and in the platform file.",
        )  # fmt: skip
