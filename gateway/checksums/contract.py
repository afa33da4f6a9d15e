"""The contract with the checksums function (`docs/reference/checksums-function.md`): algorithms in, digests out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.compute.reply import failed
from gateway.digests import is_digest
from gateway.errors import ErrorCode, GatewayError
from gateway.objects.model import ObjectStat

FUNCTION = "checksums"


@dataclass(frozen=True, slots=True)
class DigestContract:
    """Digests of an object, lowercase hex by algorithm. See `gateway.compute.job.Contract`."""

    algorithms: tuple[str, ...]

    @property
    def function(self) -> str:
        return FUNCTION

    @property
    def key(self) -> frozenset[str]:
        return frozenset(self.algorithms)

    def order(self) -> Mapping[str, object]:
        return {"algorithms": self.algorithms}

    def fields(self) -> Mapping[str, str]:
        return {"X-Checksum-Algorithms": ",".join(self.algorithms)}

    def result(self, reply: Mapping[str, Any], stat: ObjectStat) -> dict[str, str]:
        digests = reply.get("digests")
        if not isinstance(digests, dict) or not all(is_digest(name, digests.get(name)) for name in self.algorithms):
            raise failed(FUNCTION, "its digests are incomplete or malformed")
        if any(digests.get(name, value) != value for name, value in stat.native.items()):
            raise GatewayError(ErrorCode.OBJECT_CORRUPT, function=FUNCTION)
        return {name: digests[name] for name in self.algorithms}
