// Calls the gateway through Keystone's catalog as any other service of OpenStack.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/utils"
)

type answer struct {
	Microversion string `json:"microversion"`
	Endpoint     string `json:"endpoint"`
	Concurrency  int    `json:"concurrency"`
	Refused      int    `json:"refused"`
	Message      string `json:"message"`
}

func ask(ctx context.Context) (found answer, err error) {
	options, err := openstack.AuthOptionsFromEnv()
	if err != nil {
		return found, err
	}
	provider, err := openstack.AuthenticatedClient(ctx, options)
	if err != nil {
		return found, err
	}
	// The version makes the library discover it in the version document.
	where := gophercloud.EndpointOpts{Type: "function", Version: 1, Region: os.Getenv("OS_REGION_NAME"),
		Availability: gophercloud.AvailabilityPublic}
	url, err := provider.EndpointLocator(where)
	if err != nil {
		return found, err
	}
	service := gophercloud.ServiceClient{ProviderClient: provider, Endpoint: url, Type: "function"}
	service, err = utils.RequireMicroversion(ctx, service, "1.0")
	if err != nil {
		return found, err
	}
	found.Endpoint = url
	var limits struct {
		Limits struct {
			Absolute struct {
				MaxConcurrentCalls int `json:"maxConcurrentCalls"`
			} `json:"absolute"`
		} `json:"limits"`
	}
	response, err := service.Get(ctx, service.ServiceURL("v1", "limits"), &limits, nil)
	if err != nil {
		return found, err
	}
	found.Microversion = response.Header.Get("OpenStack-API-Version")
	found.Concurrency = limits.Limits.Absolute.MaxConcurrentCalls

	service.Microversion = "1.999"
	_, err = service.Get(ctx, service.ServiceURL("v1", "limits"), nil, nil)
	if gophercloud.ResponseCodeIs(err, http.StatusNotAcceptable) {
		found.Refused, found.Message, err = http.StatusNotAcceptable, err.Error(), nil
	}
	return found, err
}

func main() {
	found, err := ask(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(found)
}
