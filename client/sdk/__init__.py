"""The service `function` for openstacksdk. Programs import it as `osfaas.sdk`."""
