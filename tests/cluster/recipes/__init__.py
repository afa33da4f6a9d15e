"""How every program and image of the cluster is made, and made again only when its inputs changed."""
