# The image holds one static binary, built outside by `make image` (bin/linux-ARCH/webhook), so that it can be made where
# no base image can be pulled. Nothing else is needed: the authority that the API server's certificate is checked by
# comes with the service account's token, and there is no shell to break into.
FROM scratch

# BuildKit sets it from --platform; the older builder needs --build-arg TARGETARCH=amd64. A default here would hide the
# first.
ARG TARGETARCH
COPY bin/linux-${TARGETARCH}/webhook /webhook

# A number, so that runAsNonRoot can be checked without a passwd file.
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/webhook"]
