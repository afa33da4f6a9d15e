// The servers and probes that policy judges ask for: those commands of Kubernetes' own test image "agnhost" that
// cyclonus calls. They are the real ones; the image's other commands are left out.
package main

import (
	"os"

	"github.com/spf13/cobra"
	"k8s.io/kubernetes/test/images/agnhost/connect"
	"k8s.io/kubernetes/test/images/agnhost/porter"
	servehostname "k8s.io/kubernetes/test/images/agnhost/serve-hostname"
)

func main() {
	root := &cobra.Command{Use: "agnhost", SilenceUsage: true}
	root.AddCommand(connect.CmdConnect, porter.CmdPorter, servehostname.CmdServeHostname)
	if err := root.Execute(); err != nil {
		os.Exit(1)
	}
}
