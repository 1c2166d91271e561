"""What an OpenSandbox server in Docker mode asks of the engine for a sandbox with a volume.

usage: opensandbox.py SOCKET IMAGE VOLUME CREATE [LABEL=VALUE...]

The volume is looked up; where it is missing, CREATE says what then: "yes", as
createIfNotExists does by default, "no", or "never" for a client that leaves
volumes to the container's create. What happened is printed as JSON.
"""

import json
import sys

import docker

socket, image, volume, create, *labels = sys.argv[1:]
client = docker.DockerClient(base_url="unix://" + socket, version="1.41", timeout=30)
said = {}
try:
    try:
        client.api.inspect_volume(volume)
        said["found"] = True
    except docker.errors.NotFound:
        said["found"] = False
        if create == "no":
            raise SystemExit("the server's own refusal: 400")
        if create == "yes":
            client.volumes.create(name=volume, labels={"opensandbox.io/volume-managed-by": "server"})
    host = client.api.create_host_config(binds=[volume + ":/data:rw"], network_mode="none")
    made = client.api.create_container(
        image, command=["sh"], host_config=host, labels=dict(label.split("=", 1) for label in labels)
    )
    said["id"] = made["Id"]
    said["warnings"] = made.get("Warnings") or []
except docker.errors.APIError as refused:
    said["status"] = refused.response.status_code
    said["kind"] = type(refused).__name__
    said["message"] = refused.explanation
except SystemExit as own:
    said["message"] = str(own)
print(json.dumps(said))
