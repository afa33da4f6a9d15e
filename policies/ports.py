"""The ports of Knative Serving (knative.dev/serving pkg/networking/constants.go) and Istio that the policies name."""

# Calls: HTTP/1, h2c, and TLS, on the activator and on each pod's queue-proxy.
HTTP1 = 8012
H2C = 8013
HTTPS = 8112
CALLS = (HTTP1, H2C, HTTPS)
# The autoscaler reads each queue-proxy's load here.
AUTOSCALER_METRICS = 9090
# Metrics of Knative's own pods.
METRICS = 9090
# The activator tells the autoscaler its load here (websocket); blocked, it crashes in a loop.
AUTOSCALER_STATS = 8080
# Knative's admission webhooks, called by the API server.
WEBHOOK = 8443
# Istio's configuration, over mutual TLS; its plaintext counterpart 15010 is closed.
XDS = 15012
ISTIO_WEBHOOK = 15017
# Knative's local gateway, on the same Envoy pods as the ingress.
LOCAL_GATEWAY = 8081
# The public ports of the ingress, behind its Service's 80 and 443, and its health port.
INGRESS_PUBLIC = (80, 443, 8080, 8443)
INGRESS_HEALTH = 15021
