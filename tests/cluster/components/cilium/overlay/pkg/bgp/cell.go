// Package bgp stands in for Cilium's BGP control plane, whose library is not served here. The test cluster has one
// node and no BGP peer; the three API handlers say so.
package bgp

import (
	"errors"
	"net/http"

	"github.com/cilium/hive/cell"
	"github.com/go-openapi/runtime/middleware"

	restapi "github.com/cilium/cilium/api/v1/server/restapi/bgp"
	"github.com/cilium/cilium/pkg/api"
)

var errNotBuilt = errors.New("this agent is built without BGP")

// Cell provides what the agent's API server asks of the BGP control plane.
var Cell = cell.Module(
	"bgp-not-built",
	"BGP is not part of the test cluster",
	cell.Provide(
		func() restapi.GetBgpPeersHandler {
			return restapi.GetBgpPeersHandlerFunc(func(restapi.GetBgpPeersParams) middleware.Responder { return notBuilt() })
		},
		func() restapi.GetBgpRoutesHandler {
			return restapi.GetBgpRoutesHandlerFunc(func(restapi.GetBgpRoutesParams) middleware.Responder { return notBuilt() })
		},
		func() restapi.GetBgpRoutePoliciesHandler {
			return restapi.GetBgpRoutePoliciesHandlerFunc(
				func(restapi.GetBgpRoutePoliciesParams) middleware.Responder { return notBuilt() })
		},
	),
)

func notBuilt() middleware.Responder {
	return api.Error(http.StatusNotImplemented, errNotBuilt)
}
