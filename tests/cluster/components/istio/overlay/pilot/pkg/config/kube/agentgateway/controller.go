// Package agentgateway stands in for Istio's package of this name, which cannot be built here: the module of its
// protocol is not served. The feature is off by default (PILOT_ENABLE_AGENTGATEWAY), so that nothing calls this.
package agentgateway

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/serviceregistry/kube/controller"
	"istio.io/istio/pilot/pkg/status"
	"istio.io/istio/pilot/pkg/xds"
	"istio.io/istio/pkg/kube"
)

// Controller has the fields that Istio's bootstrap reads.
type Controller struct {
	model.AgentgatewayController
	Registrations []xds.Registration
}

// NewAgwController must not be reached: the feature's switch stays off in the test cluster.
func NewAgwController(
	kube.Client, func(schema.GroupVersionResource, <-chan struct{}) bool, controller.Options,
) *Controller {
	panic("agentgateway is not part of the test cluster")
}

// SetStatusWrite does nothing.
func (*Controller) SetStatusWrite(bool, *status.Manager) {}
