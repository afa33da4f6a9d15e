"""`osfaas operation …`: asynchronous calls."""
