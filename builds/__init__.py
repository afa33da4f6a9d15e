"""From an archive of code to an image in a registry, without any privilege.

This package imports nothing of the product: it runs beside untrusted code.
"""
