# docker build -t wreg .                   with a shell, as docs/recipes.md needs it
# docker build -t wreg --target alone .    the binary and nothing else
FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/usr/local/bin/wreg ./cmd/wreg && mkdir -m 1777 /out/tmp /out/data && \
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt  # whom to trust behind hf:// and https://

FROM scratch AS alone
COPY --from=build /out /
ENV XDG_DATA_HOME=/data
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/wreg"]

FROM busybox:1.37
COPY --from=build /out /
ENV XDG_DATA_HOME=/data
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/wreg"]
