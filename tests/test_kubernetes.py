"""The manifests for Kubernetes, with SQLite and with PostgreSQL: valid, confined, at one with all that they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from forwarder import __version__
from forwarder.app import STOP_SECONDS
from forwarder.common.databases import PostgresAddress
from forwarder.config import advice
from tests.kit.deploy import (
    DEPLOY,
    SECRET_FILES,
    assert_valid,
    documents,
    installed,
    instructions,
    load_container_config,
    run,
)

FOLDERS: Final = {"sqlite": DEPLOY / "kubernetes", "postgresql": DEPLOY / "kubernetes-postgresql"}
CONFIGS: Final = {"sqlite": "config.container.yaml", "postgresql": "config.postgresql.yaml"}

pytestmark = pytest.mark.parametrize("mode", FOLDERS)


def manifests(mode: str) -> dict[str, Any]:
    names = documents(FOLDERS[mode] / "kustomization.yaml")["resources"]
    return {name.removesuffix(".yaml"): documents(FOLDERS[mode] / name) for name in names}


def pod(mode: str) -> Any:
    return manifests(mode)["deployment"]["spec"]["template"]["spec"]


def database_line(text: str) -> str:
    (found,) = re.findall(r"^(?:# Without TLS.*\n)?database: .*\n", text, re.MULTILINE)
    return str(found)


def test_the_manifests_are_valid(mode: str) -> None:
    """Each one fits Kubernetes' own schema, with no key that it does not know."""
    files = [path for path in sorted(FOLDERS[mode].glob("*.yaml")) if path.name != "kustomization.yaml"]
    assert len(files) == {"sqlite": 6, "postgresql": 6}[mode]
    assert_valid([*files, DEPLOY / "backup" / "restore-pod.yaml"])


def test_kubectl_reads_the_kustomization(mode: str) -> None:
    """kubectl puts the folder together as it would apply it: all of it in the namespace, with the image named."""
    result = run(installed("kubectl", "make helm"), "kustomize", FOLDERS[mode])
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("namespace: sentrytex-forwarder\n") == len(manifests(mode))
    assert f"image: registry.example.com/sentrytex-forwarder:{__version__}\n" in result.stdout


def test_the_kustomization_applies_all_but_the_example(mode: str) -> None:
    """Every manifest but the secret, whose values are not there, is applied; the image is of this version."""
    kustomization = documents(FOLDERS[mode] / "kustomization.yaml")
    there = {path.name for path in FOLDERS[mode].glob("*.yaml")}
    assert set(kustomization["resources"]) == there - {"kustomization.yaml", "secret.example.yaml"}
    (image,) = kustomization["images"]
    assert image["name"] == pod(mode)["containers"][0]["image"]
    assert image["newTag"] == __version__
    restore = documents(DEPLOY / "backup" / "restore-pod.yaml")
    assert restore["spec"]["containers"][0]["image"] == f"{image['newName']}:{image['newTag']}"


def test_the_config_map_is_the_config_for_containers(mode: str) -> None:
    """There is one config for containers but for the database, and the secret has each file that it asks for."""
    text = manifests(mode)["configmap"]["data"]["config.yaml"]
    config = (DEPLOY / CONFIGS[mode]).read_text(encoding="utf-8")
    assert text == config.replace(database_line(config), database_line(text))
    secret = documents(FOLDERS[mode] / "secret.example.yaml")
    assert set(secret["stringData"]) == set(SECRET_FILES.findall(text))


def test_the_config_finds_its_database(mode: str, tmp_path: Path) -> None:
    """A file is within the volume; a server is verified by the certificate that the pod mounts."""
    config = load_container_config(tmp_path, manifests(mode)["configmap"]["data"]["config.yaml"])
    assert advice(config) == []
    mounted = {mount["mountPath"] for mount in pod(mode)["containers"][0]["volumeMounts"]}
    if isinstance(config.database, PostgresAddress):
        assert "sslmode=verify-full" in config.database.url
        (certificate,) = re.findall(r"sslrootcert=([^&]+)", config.database.url)
        assert str(Path(certificate).parent) in mounted
    else:
        assert str(config.database.parent) in mounted


def test_the_pod_is_confined(mode: str) -> None:
    """It runs as the image's user, writes to its volumes alone, and can gain no privilege."""
    container = pod(mode)["containers"][0]
    (user,) = instructions("USER")
    security = pod(mode)["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == user
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(mode)["automountServiceAccountToken"] is False
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"sqlite": {instructions("VOLUME")[-1], "/tmp"}, "postgresql": {"/tmp"}}[mode]


def test_liveness_and_readiness_are_asked_for_apart(mode: str) -> None:
    """What restarts a container asks whether its threads turn; what waits for it, whether it is ready."""
    (container,) = pod(mode)["containers"]
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def test_a_new_pod_replaces_an_old_one_in_the_right_order(mode: str) -> None:
    """With a file, the old one is gone first; with a server, the new one is there first. Both have time to end."""
    spec = manifests(mode)["deployment"]["spec"]
    assert pod(mode)["terminationGracePeriodSeconds"] > STOP_SECONDS
    if mode == "sqlite":
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    else:
        rolling = {"maxUnavailable": 0, "maxSurge": 1}
        assert (spec["replicas"], spec["strategy"]) == (2, {"type": "RollingUpdate", "rollingUpdate": rolling})
        assert not [volume for volume in pod(mode)["volumes"] if "persistentVolumeClaim" in volume]


def test_replicas_outlive_a_node(mode: str) -> None:
    """Those of one version are on different nodes, and a drain leaves one; a single replica holds up no drain."""
    spread = pod(mode).get("topologySpreadConstraints", [])
    budget: Any = manifests(mode).get("poddisruptionbudget")
    if mode == "sqlite":
        assert (spread, budget) == ([], None)
        return
    (constraint,) = spread
    assert (constraint["topologyKey"], constraint["maxSkew"]) == ("kubernetes.io/hostname", 1)
    assert constraint["matchLabelKeys"] == ["pod-template-hash"]
    assert budget["spec"]["minAvailable"] < manifests(mode)["deployment"]["spec"]["replicas"]


def test_the_manifests_fit_together(mode: str) -> None:
    """Selectors find the pod, ports have the same name, and what the pod mounts is what the others make."""
    found = manifests(mode)
    labels = found["deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        found["deployment"]["spec"]["selector"]["matchLabels"],
        found["service"]["spec"]["selector"],
        found["networkpolicy"]["spec"]["podSelector"]["matchLabels"],
        *(one["labelSelector"]["matchLabels"] for one in pod(mode).get("topologySpreadConstraints", [])),
    ]
    if "poddisruptionbudget" in found:
        selectors.append(found["poddisruptionbudget"]["spec"]["selector"]["matchLabels"])
    assert all(selector.items() <= labels.items() for selector in selectors)
    (port,) = pod(mode)["containers"][0]["ports"]
    assert str(port["containerPort"]) == instructions("EXPOSE")[-1]
    assert found["service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert found["networkpolicy"]["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": port["name"]}]
    volumes = {volume["name"]: volume for volume in pod(mode)["volumes"]}
    assert {mount["name"] for mount in pod(mode)["containers"][0]["volumeMounts"]} == set(volumes)
    assert volumes["config"]["configMap"]["name"] == found["configmap"]["metadata"]["name"]
    if mode == "sqlite":
        claim = found["persistentvolumeclaim"]["metadata"]["name"]
        assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim
    secret = documents(FOLDERS[mode] / "secret.example.yaml")["metadata"]["name"]
    assert volumes["secrets"]["secret"]["secretName"] == secret


def test_the_network_policy_lets_the_database_through(mode: str) -> None:
    """The port of the config's server is open, and without a server only names and HTTPS are."""
    rules = manifests(mode)["networkpolicy"]["spec"]["egress"]
    open_ports = {port["port"] for rule in rules for port in rule["ports"]}
    named = re.findall(r"@[^/]+:(\d+)/", manifests(mode)["configmap"]["data"]["config.yaml"])
    assert open_ports == {53, 443, *map(int, named)}
