# qdeploy with Verilator, Yosys and a C++ compiler. Build: docker build -t qdeploy .
FROM python:3.11-slim-bookworm

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends verilator yosys g++ make \
    && rm -rf /var/lib/apt/lists/*

# An index with torch builds for the processor alone makes the image about 5 GB smaller (docs/install.md).
ARG PIP_EXTRA_INDEX_URL=
COPY pyproject.toml README.md LICENSE /src/
COPY qdeploy /src/qdeploy
COPY models /src/models
COPY hw /src/hw
COPY export /src/export
RUN pip install --no-cache-dir "/src[fpga]" \
    && useradd --create-home --uid 1000 qdeploy
USER 1000
WORKDIR /work
ENTRYPOINT ["qdeploy"]
CMD ["--help"]
