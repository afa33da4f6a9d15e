"""`osfaas function …`: a project's own functions, over the gateway's `/v1/functions`."""
