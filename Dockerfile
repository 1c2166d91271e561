# Each image holds one static binary, built outside by `make image` (bin/linux-ARCH/…), so that it can be made where no
# base image can be pulled. There is no shell to break into. Without --target it is the last one, the webhook's.

FROM scratch AS companion

# BuildKit sets it from --platform; the older builder needs --build-arg TARGETARCH=amd64. A default here would hide the
# first.
ARG TARGETARCH
COPY bin/linux-${TARGETARCH}/companion /companion

# Root, since it opens the engine's socket, and who may do that is root on the machine anyway: another user would only look
# safer. Its own socket is for whom --group says.
USER 0:0
ENTRYPOINT ["/companion"]

# Nothing else is needed: the authority that the API server's certificate is checked by comes with the service account's
# token.
FROM scratch AS webhook

ARG TARGETARCH
COPY bin/linux-${TARGETARCH}/webhook /webhook

# A number, so that runAsNonRoot can be checked without a passwd file.
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/webhook"]
