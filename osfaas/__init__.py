"""OpenStack FaaS for Python programs: `osfaas.sdk`."""
