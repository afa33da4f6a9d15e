"""The client: commands that call a gateway. Imports nothing of the server, and slow libraries only on demand."""
