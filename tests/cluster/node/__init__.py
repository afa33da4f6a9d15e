"""What runs inside the namespaces of the node: the machine that a cluster's administrator would set up."""
