// Package controllers has the one constant that Cilium's agent uses of the real module, which is not served.
package controllers

// DerivedServiceAnnotation names the Service that was made for a ServiceImport.
const DerivedServiceAnnotation = "multicluster.kubernetes.io/derived-service"
