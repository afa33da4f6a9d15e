"""`osfaas function …`: the functions of a project."""
