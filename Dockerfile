# The operator's image: /manager, and /server, which the bots run. `make image` builds it; the base images are arguments
# for machines that cannot reach a registry.
ARG GO_IMAGE=docker.io/library/golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM --platform=${BUILDPLATFORM} ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY api api
COPY cmd cmd
COPY controllers controllers
COPY server server
ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION=dev
# What is built depends on nothing but the sources, the toolchain and VERSION: no paths, no build IDs, no times.
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -buildvcs=false -tags grpcnotrace \
    -ldflags "-s -w -buildid= -X main.version=${VERSION}" -o /out/ ./cmd/manager ./cmd/server

FROM ${BASE_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wechatbot-operator" \
      org.opencontainers.image.description="Puts an LLM behind a WeChat Official Account" \
      org.opencontainers.image.source="https://github.com/wechatbot/wechatbot-operator" \
      org.opencontainers.image.documentation="https://github.com/wechatbot/wechatbot-operator/blob/main/README.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/manager /out/server /
COPY LICENSE /LICENSE
USER 65532:65532
ENTRYPOINT ["/manager"]
