"""Stands for OpenSandbox's server in Docker mode: what it asks of the engine for a sandbox, as far as volumes go.

usage: ondocker.py create --id ID -f REQUEST.json [--leave-volumes] [--json]

It asks the engine of DOCKER_HOST through docker-py, the library that the server uses, and prints each request that would change
something, the engine's warnings, and what became of the sandbox. --json prints the latter two for a program. --leave-volumes
is what the server never does: it leaves missing volumes to the container's create. The container is not started.

From these sources, read in November 2026, all below server/opensandbox_server/services/docker of opensandbox-group/OpenSandbox:
volumes.py (714cac6), docker_service.py (076c82e) and container_ops.py (273e747). That extensions become labels of the container is
of pull request 1167 (July 2026); before, they reached nobody.
"""

import argparse
import datetime
import json
import sys

import docker

PREFIX = "opensandbox.extensions."


class Refused(Exception):
    """An answer of the server's own."""


def ensure_volumes(client, volumes):
    """Makes the volumes that are missing and may be made; the names of those that were there are returned."""
    found = []
    for pvc in (v["pvc"] for v in volumes):
        name = pvc["claimName"]
        try:
            client.api.inspect_volume(name)
            found.append(name)
        except docker.errors.NotFound:
            if not pvc.get("createIfNotExists", True):
                raise Refused("400: Docker named volume '%s' does not exist" % name)
            client.api.create_volume(name=name, labels={"opensandbox.io/volume-managed-by": "server"})
    return found


def labels(sandbox, request, managed):
    """The labels of the sandbox's container."""
    made = dict(request.get("metadata", {}))
    made["opensandbox.io/id"] = sandbox
    if "timeout" in request:
        expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=request["timeout"])
        made["opensandbox.io/expires-at"] = expires.isoformat()
    if managed:
        made["opensandbox.io/volume-managed-by"] = json.dumps(managed, separators=(",", ":"))
    for key, value in request.get("extensions", {}).items():
        if key.startswith(PREFIX):
            made["opensandbox.io/extensions." + key[len(PREFIX) :]] = value
    return made


def create(client, sandbox, request, leave):
    """A sandbox as the server makes it."""
    volumes = request.get("volumes", [])
    found = [] if leave else ensure_volumes(client, volumes)
    managed = []
    for pvc in (v["pvc"] for v in volumes):
        if pvc["claimName"] not in found and pvc.get("deleteOnSandboxTermination", False):
            managed.append(pvc["claimName"])
    image = request["image"]["uri"]
    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        client.images.pull(image)
    binds = ["%s:%s:%s" % (v["pvc"]["claimName"], v["mountPath"], "ro" if v.get("readOnly") else "rw") for v in volumes]
    made = client.api.create_container(
        image,
        name="sandbox-" + sandbox,
        command=request["entrypoint"],
        entrypoint=["/opt/opensandbox/bootstrap.sh"],
        labels=labels(sandbox, request, managed),
        environment=["OPENSANDBOX_ID=" + sandbox],
        host_config=client.api.create_host_config(binds=binds, network_mode="host"),
    )
    return {"found": found, "id": made["Id"], "warnings": made.get("Warnings") or []}


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("verb", choices=["create"])
    flags.add_argument("--id", required=True)
    flags.add_argument("-f", required=True, dest="file")
    flags.add_argument("--leave-volumes", action="store_true")
    flags.add_argument("--json", action="store_true")
    given = flags.parse_args()
    with open(given.file) as file:
        request = json.load(file)
    client = docker.from_env(version="1.41", timeout=30)
    post = client.api._post_json

    def told(url, data, **rest):
        if not given.json:
            asked = {key: value for key, value in data.items() if value is not None}
            print("POST", url[url.index("/v1.41") + len("/v1.41") :], json.dumps(asked, indent=2, sort_keys=True))
        return post(url, data, **rest)

    client.api._post_json = told
    try:
        said = create(client, given.id, request, given.leave_volumes)
    except docker.errors.APIError as e:
        said = {"status": e.response.status_code, "kind": type(e).__name__, "message": e.explanation}
    except Refused as e:
        said = {"status": 0, "kind": "", "message": str(e)}
    if given.json:
        print(json.dumps(said))
        return
    for warning in said.get("warnings", []):
        print("the engine warns:", warning)
    if "id" not in said:
        sys.exit("the server's error: " + said["message"])
    print("sandbox %s created: container sandbox-%s" % (given.id, given.id))


if __name__ == "__main__":
    main()
