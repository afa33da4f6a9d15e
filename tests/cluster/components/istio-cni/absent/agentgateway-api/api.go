// Package api is empty: the real module is not served, and nothing that the test cluster builds uses it.
package api
