"""Reasons why a function does not run: the words of Kubernetes and Knative, wherever they have one.

The controller copies them from the objects of the cluster; the gateway decides by them whether waiting can help.
"""

# Reasons of a waiting container (kubelet).
IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
CRASH_REASONS = frozenset({"CrashLoopBackOff", "RunContainerError", "StartError"})
CONFIGURATION_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError"})
# Reason of a pod's condition PodScheduled.
UNSCHEDULABLE = "Unschedulable"
# Reason of a Deployment's condition ReplicaFailure: the API server rejected its pod.
FAILED_CREATE = "FailedCreate"
# Ours: FailedCreate because of the quota. In Kubernetes only the message shows it ("exceeded quota"), but callers get
# another status for it.
EXCEEDED_QUOTA = "ExceededQuota"
# Ours: Knative has given no reason, or none for the current generation.
NOT_READY = "NotReady"

# Problems that waiting does not solve: an administrator or the owner of the function must act first.
PERMANENT_REASONS = (
    IMAGE_REASONS | CRASH_REASONS | CONFIGURATION_REASONS | {UNSCHEDULABLE, FAILED_CREATE, EXCEEDED_QUOTA}
)
