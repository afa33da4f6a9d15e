// Package gobgp is empty: the real module is not served, and Cilium is built without BGP (see overlay/pkg/bgp).
package gobgp
