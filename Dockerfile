# docker build -t vidgen .
# docker build --target gpu -t vidgen:gpu .        # 7 GB, for machines with the NVIDIA container toolkit
#
# The current folder is /work inside, and runs and models lie where vidgen keeps them without Docker:
#
# mkdir -p ~/.local/share/vidgen
# docker run --rm -it --user "$(id -u):$(id -g)" -v "$PWD:/work" -v ~/.local/share/vidgen:/data \
#     vidgen run photo.jpg voice.wav
#
# With a GPU: docker run --gpus all …, and vidgen:gpu instead of vidgen.
FROM python:3.13-slim AS source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    VIDGEN_HOME=/data HOME=/tmp PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE models.toml ./
COPY vidgen vidgen

FROM source AS gpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --constraint constraints.txt '.[gpu]'
WORKDIR /work
ENTRYPOINT ["vidgen"]

FROM source AS base
RUN pip install --constraint constraints.txt .
WORKDIR /work
ENTRYPOINT ["vidgen"]
