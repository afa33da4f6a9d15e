# The gateway. Build: docker build -t osfaas-gateway .
# PYTHON is any image with Python 3.11 or later and its venv module; in production one that is named by its digest
# (docs/how-to/run-without-kubernetes.md).
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS build
RUN python3 -m venv /opt/osfaas
WORKDIR /src
COPY requirements.txt ./
RUN /opt/osfaas/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY functions/runtimes ./functions/runtimes
COPY distributions ./distributions
COPY builds ./builds
COPY policies ./policies
COPY tenancy ./tenancy
COPY client ./client
COPY osfaas ./osfaas
COPY control ./control
COPY gateway ./gateway
COPY operations ./operations
RUN /opt/osfaas/bin/pip install --no-cache-dir --no-deps --no-build-isolation ./distributions/builder ./distributions/client .

FROM ${PYTHON}
COPY --from=build /opt/osfaas /opt/osfaas
# Python's own library comes without bytecode in the official images; what is not written now is compiled at every start.
RUN /opt/osfaas/bin/python -c 'import client.cli, gateway.commands, gateway.server.serve, control.serve, control.functions.serve, control.scheduler.serve, control.registry.serve, tenancy.controller.controller'
ENV PATH=/opt/osfaas/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OSFAAS_LISTEN_HOST=0.0.0.0
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8788
ENTRYPOINT ["osfaas"]
CMD ["serve"]
