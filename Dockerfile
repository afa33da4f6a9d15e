# The gateway, and all other processes of the server. Build: docker build -t osfaas-gateway .
# PYTHON is any image with Python 3.11 or later and its venv module; in production one that is named by its digest
# (docs/how-to/run-without-kubernetes.md).
ARG PYTHON=python:3.11-slim

# Our wheels, built from the checkout. `make images` has those of `make dist` in the place of this stage.
FROM ${PYTHON} AS wheels
WORKDIR /src
COPY requirements.txt ./
# Of the locked packages, the one that builds wheels.
RUN python3 -m venv /build \
 && sed -n '/^setuptools==/,/[^\\]$/p' requirements.txt >/build/setuptools.txt \
 && /build/bin/pip install --no-cache-dir --require-hashes --requirement /build/setuptools.txt
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
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist ./distributions/builder ./distributions/client .

FROM ${PYTHON} AS build
RUN python3 -m venv /opt/osfaas
COPY requirements.txt /src/
RUN /opt/osfaas/bin/pip install --no-cache-dir --no-compile --require-hashes --requirement /src/requirements.txt
COPY --from=wheels /dist/osfaas_*.whl /dist/openstack_faas_gateway-*.whl /dist/
# Bytecode is written here, once: a start should not compile, and the user below may not write. It holds whatever time its
# source has, and is the same in each build.
RUN /opt/osfaas/bin/pip install --no-cache-dir --no-compile --no-deps --no-index /dist/*.whl \
 && PYTHONHASHSEED=0 /opt/osfaas/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/osfaas/lib

FROM ${PYTHON}
COPY --from=build /opt/osfaas /opt/osfaas
# Python's own library comes without bytecode in the official images; what is not written now is compiled at every start.
# stevedore's cache of entry points has times in it, and is of no use to the user below.
RUN export PYTHONHASHSEED=0 XDG_CACHE_HOME=/tmp/cache \
 && /opt/osfaas/bin/python -c 'import client.cli, gateway.commands, gateway.server.serve, control.serve, control.functions.serve, control.scheduler.serve, control.registry.serve, tenancy.controller.controller' \
 && rm -rf /tmp/cache
ENV PATH=/opt/osfaas/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OSFAAS_LISTEN_HOST=0.0.0.0
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8788
ENTRYPOINT ["osfaas"]
CMD ["serve"]
