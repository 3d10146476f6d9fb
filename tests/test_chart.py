"""The Helm chart, rendered by a real Helm: valid, the same as the plain manifests, and clear in what it refuses."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from forwarder import __version__
from forwarder.common.databases import PostgresAddress
from forwarder.config import advice
from tests.kit.deploy import DEPLOY, ROOT, assert_valid, documents, installed, load_container_config, run

CHART: Final = DEPLOY / "helm" / "sentrytex-forwarder"
PLAIN: Final = {"sqlite": DEPLOY / "kubernetes", "postgresql": DEPLOY / "kubernetes-postgresql"}

_EXAMPLE: Final = re.compile(r'^```yaml title="values\.yaml: (\w+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_SHOWN: Final = {
    title: values
    for page in ("helm.md", "recipes.md")
    for title, values in _EXAMPLE.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
}
SQLITE: Final[dict[str, Any]] = yaml.safe_load(_SHOWN["SQLite"])
POSTGRESQL: Final[dict[str, Any]] = SQLITE | yaml.safe_load(_SHOWN["PostgreSQL"])

EVERYTHING: Final[dict[str, Any]] = POSTGRESQL | {
    "replicas": 3,
    "image": {"repository": "registry.example.com/forwarder", "digest": f"sha256:{'0' * 64}", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "fullnameOverride": "alerts",
    "secret": {"existing": "", "values": {"web_token": "not-a-real-web-token", "database_password": "no-password"}},
    "postgresql": {
        "hosts": ["one.example.com", "two.example.com"],
        "port": 6432,
        "user": "alerts@example",
        "ca": {"secret": "cluster-ca"},
        "parameters": {"application_name": "alerts & more", "connect_timeout": 10},
    },
    "service": {"type": "LoadBalancer", "port": 80, "annotations": {"example.com/pool": "internal"}},
    "ingress": {"enabled": True, "className": "nginx", "host": "alerts.example.com", "tlsSecret": "alerts-tls"},
    "podMonitor": {"enabled": True, "interval": "1m", "labels": {"release": "prometheus"}},
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}],
        "databaseTo": [{"ipBlock": {"cidr": "10.1.2.3/32"}}],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.9.8.7/32"}}], "ports": [{"protocol": "TCP", "port": 8443}]}],
    },
    "podDisruptionBudget": {"minAvailable": 2},
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}],
    "podAnnotations": {"example.com/owner": "secops"},
    "podLabels": {"team": "secops"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "important",
}
"""Every value in use, with PostgreSQL."""

VOLUME: Final[dict[str, Any]] = SQLITE | {
    "persistence": {"size": "10Gi", "storageClass": "fast", "accessModes": ["ReadWriteOncePod"]},
    "networkPolicy": {"enabled": False},
}

SETS: Final = {
    "sqlite": SQLITE,
    "postgresql": POSTGRESQL,
    "everything": EVERYTHING,
    "volume": VOLUME,
    "claim": SQLITE | {"persistence": {"existingClaim": "old-state"}},
    "recipe": yaml.safe_load(_SHOWN["replicas"]),
}


@dataclass(frozen=True)
class Release:
    """What Helm made of the chart: each object by its kind, the pod of `helm test` as ``check``."""

    objects: dict[str, dict[str, Any]]

    @property
    def pod(self) -> Any:
        return self.objects["Deployment"]["spec"]["template"]["spec"]

    @property
    def config(self) -> str:
        return str(self.objects["ConfigMap"]["data"]["config.yaml"])


@pytest.fixture(scope="module")
def helm() -> str:
    return installed("helm", "make helm")


def told(helm: str, folder: Path, values: Mapping[str, Any], *command: str) -> Any:
    """What Helm says of the chart with these values."""
    (folder / "values.yaml").write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
    return run(helm, *command, CHART, "--values", folder / "values.yaml", "--namespace", "sentrytex-forwarder")


def rendered(helm: str, folder: Path, values: Mapping[str, Any], name: str = "sentrytex-forwarder") -> Release:
    result = told(helm, folder, values, "template", name)
    assert result.returncode == 0, result.stderr
    found: dict[str, dict[str, Any]] = {}
    for one in yaml.safe_load_all(result.stdout):
        hook = "helm.sh/hook" in one["metadata"].get("annotations", {})
        kind = "check" if hook else one["kind"]
        assert kind not in found
        found[kind] = one
    return Release(found)


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_helm_finds_nothing_wrong(values: dict[str, Any], helm: str, tmp_path: Path) -> None:
    """`helm lint --strict` passes, by the chart's own schema of its values, too."""
    result = told(helm, tmp_path, values, "lint", "--strict")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 chart(s) failed" in result.stdout


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_what_it_renders_is_valid(values: dict[str, Any], helm: str, tmp_path: Path) -> None:
    """Each object fits Kubernetes' own schema; the PodMonitor is the Prometheus operator's, and not in there."""
    release = rendered(helm, tmp_path, values)
    files = []
    for kind, content in release.objects.items():
        if kind != "PodMonitor":
            files.append(tmp_path / f"{kind}.yaml")
            files[-1].write_text(yaml.safe_dump(content), encoding="utf-8")
    assert_valid(files)


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_the_config_in_it_works(values: dict[str, Any], helm: str, tmp_path: Path) -> None:
    """The forwarder loads it, and the page can be reached from outside the container."""
    config = load_container_config(tmp_path, rendered(helm, tmp_path, values).config)
    assert advice(config) == []
    assert str(config.web.listen) == "0.0.0.0:8585"


def without_names_of_the_release(value: Any) -> Any:
    """An object without what Helm adds to each: its labels, and the checksums by which a change makes new pods."""
    if isinstance(value, list):
        return [without_names_of_the_release(one) for one in value]
    if not isinstance(value, dict):
        return value
    added = re.compile(r"helm\.sh/|checksum/|app\.kubernetes\.io/(instance|version|managed-by)|imagePullPolicy")
    kept = {key: without_names_of_the_release(one) for key, one in value.items() if not added.match(key)}
    return {key: one for key, one in kept.items() if (key, one) != ("annotations", {})}


@pytest.mark.parametrize("mode", PLAIN)
def test_it_renders_the_plain_manifests(mode: str, helm: str, tmp_path: Path) -> None:
    """With the example's values it makes the same objects as `kubectl apply -k`, and neither has one more."""
    applied = run(installed("kubectl", "make helm"), "kustomize", PLAIN[mode])
    plain = {one["kind"]: one for one in yaml.safe_load_all(applied.stdout)}
    values = {"sqlite": SQLITE, "postgresql": POSTGRESQL}[mode]
    values = values | {"config": values["config"] | {"web": {"public_hosts": ["forwarder"]}}}
    found = rendered(helm, tmp_path, values).objects
    del found["check"]
    assert set(found) == set(plain)
    for objects in (found, plain):
        text = objects["ConfigMap"]["data"]["config.yaml"]
        objects["ConfigMap"]["data"]["config.yaml"] = yaml.safe_load(text)
    assert without_names_of_the_release(found) == plain


def test_a_changed_config_makes_new_pods(helm: str, tmp_path: Path) -> None:
    """And so does a changed secret; what is the same leaves them alone."""

    def checksums(values: Mapping[str, Any]) -> dict[str, str]:
        template = rendered(helm, tmp_path, values).objects["Deployment"]["spec"]["template"]
        return {key: one for key, one in template["metadata"]["annotations"].items() if key.startswith("checksum/")}

    first = checksums(EVERYTHING)
    assert first == checksums(EVERYTHING | {"service": {"port": 8080}})
    other_config = checksums(EVERYTHING | {"config": EVERYTHING["config"] | {"keep": "100d"}})
    assert {key for key in first if first[key] != other_config[key]} == {"checksum/config"}
    secret = {"existing": "", "values": {"web_token": "another-not-real-token"}}
    other_secret = checksums(EVERYTHING | {"secret": secret})
    assert {key for key in first if first[key] != other_secret[key]} == {"checksum/secret"}


def test_secrets_are_in_the_secret_alone(helm: str, tmp_path: Path) -> None:
    """A value of `secret.values` is in no other object; a Secret that is there is mounted, and none is made."""
    release = rendered(helm, tmp_path, EVERYTHING)
    secret = release.objects.pop("Secret")
    assert secret["stringData"] == EVERYTHING["secret"]["values"]
    assert not [value for value in secret["stringData"].values() if value in json.dumps(release.objects)]
    assert mounted(release, "secrets")["secret"]["secretName"] == secret["metadata"]["name"] == "alerts"
    existing = rendered(helm, tmp_path, SQLITE)
    assert "Secret" not in existing.objects
    assert mounted(existing, "secrets")["secret"]["secretName"] == "sentrytex-forwarder"


def mounted(release: Release, name: str) -> dict[str, Any]:
    (volume,) = (one for one in release.pod["volumes"] if one["name"] == name)
    return dict(volume)


def test_the_address_of_the_database(helm: str, tmp_path: Path) -> None:
    """Each host has its port, of several the writable one is used, and what would end a part of it is encoded."""
    config = load_container_config(tmp_path, rendered(helm, tmp_path, EVERYTHING).config)
    assert isinstance(config.database, PostgresAddress)
    assert config.database.url == (
        "postgresql://alerts%40example:database_passwordxxxxxxxxxxxxxxx@one.example.com:6432,two.example.com:6432/forwarder"
        "?sslmode=verify-full&sslrootcert=/etc/forwarder-database/ca.crt&target_session_attrs=read-write"
        "&application_name=alerts%20%26%20more&connect_timeout=10"
    )
    assert mounted(rendered(helm, tmp_path, EVERYTHING), "database-ca")["secret"]["items"] == [
        {"key": "ca.crt", "path": "ca.crt"}
    ]


def test_the_page_knows_the_names_that_it_is_reached_by(helm: str, tmp_path: Path) -> None:
    """The service's, the ingress's, and those of the config; links in messages lead to the ingress."""
    values = EVERYTHING | {"config": EVERYTHING["config"] | {"web": {"public_hosts": ["old.example.com"]}}}
    web = yaml.safe_load(rendered(helm, tmp_path, values).config)["web"]
    assert web["public_hosts"] == ["old.example.com", "alerts", "alerts.sentrytex-forwarder.svc", "alerts.example.com"]
    assert web["public_url"] == "https://alerts.example.com"


def test_everything_that_can_be_set_has_its_effect(helm: str, tmp_path: Path) -> None:
    """No value is taken and then forgotten: each one's is found in what is rendered."""
    text = json.dumps(rendered(helm, tmp_path, EVERYTHING).objects)
    values = json.dumps(EVERYTHING)
    parts = [
        *("Always", "registry", "example.com/pool", "LoadBalancer", "alerts-tls", "nginx", "1m", "prometheus"),
        *("10.1.2.3/32", "10.9.8.7/32", "HTTPS_PROXY", "example.com/owner", "dedicated", "nodeAffinity", "important"),
        *("topology.kubernetes.io/zone", "secops", "kubernetes.io/os"),
    ]
    assert [part for part in parts if part not in values or part not in text] == []
    claim = rendered(helm, tmp_path, VOLUME).objects["PersistentVolumeClaim"]
    assert (claim["spec"]["storageClassName"], claim["spec"]["accessModes"]) == ("fast", ["ReadWriteOncePod"])
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    existing = rendered(helm, tmp_path, SETS["claim"])
    assert "PersistentVolumeClaim" not in existing.objects
    assert mounted(existing, "state")["persistentVolumeClaim"]["claimName"] == "old-state"


REFUSED: Final = {
    "no image": (SQLITE | {"image": {}}, "Set image.repository"),
    "no config": (SQLITE | {"config": {}}, "Set config:"),
    "no secret": (SQLITE | {"secret": {}}, "Set secret.existing"),
    "two secrets": (SQLITE | {"secret": {"existing": "one", "values": {"web_token": "x"}}}, "and not both"),
    "a database": (SQLITE | {"config": SQLITE["config"] | {"database": "x.db"}}, "Leave config.database out"),
    "an address": (SQLITE | {"config": SQLITE["config"] | {"web": {"listen": "off"}}}, "Leave config.web.listen out"),
    "no server": (POSTGRESQL | {"postgresql": {}}, "Set postgresql.hosts"),
    "no authority": (POSTGRESQL | {"postgresql": {"hosts": ["db"]}}, "sslmode is verify-full: name the ConfigMap"),
    "no host": (SQLITE | {"ingress": {"enabled": True}}, "Set ingress.host"),
    "an unknown mode": (SQLITE | {"mode": "mysql"}, "mode"),
    "an unknown value": (SQLITE | {"replica": 2}, "replica"),
    "an unknown value of a part": (SQLITE | {"image": SQLITE["image"] | {"tags": "1"}}, "tags"),
    "a volume for many": (SQLITE | {"persistence": {"accessModes": ["ReadWriteMany"]}}, "accessModes"),
    "a password in the open": (POSTGRESQL | {"postgresql": {"parameters": {"password": "x"}}}, "password"),
}


@pytest.mark.parametrize(("values", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused(values: dict[str, Any], why: str, helm: str, tmp_path: Path) -> None:
    """Helm fails before anything is installed, and says what to do."""
    result = told(helm, tmp_path, values, "template", "sentrytex-forwarder")
    assert result.returncode != 0
    assert why in result.stderr


def test_two_releases_do_not_share_anything(helm: str, tmp_path: Path) -> None:
    """In one namespace each has its own names, and none selects the other's pods."""
    one, two = (rendered(helm, tmp_path, POSTGRESQL, name) for name in ("acme", "globex"))
    assert one.objects["Deployment"]["metadata"]["name"] == "acme-sentrytex-forwarder"
    assert {item["metadata"]["name"] for item in one.objects.values()}.isdisjoint(
        item["metadata"]["name"] for item in two.objects.values()
    )
    labels = two.objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        one.objects["Service"]["spec"]["selector"],
        one.objects["Deployment"]["spec"]["selector"]["matchLabels"],
        one.objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        one.objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        one.pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert not any(selector.items() <= labels.items() for selector in selectors)


def test_the_test_pod_is_none_of_the_daemons(helm: str, tmp_path: Path) -> None:
    """It is as confined as they are, and neither the service nor the disruption budget takes it for one of them."""
    release = rendered(helm, tmp_path, POSTGRESQL)
    check = release.objects["check"]
    assert not release.objects["Service"]["spec"]["selector"].items() <= check["metadata"]["labels"].items()
    for key in ("securityContext", "automountServiceAccountToken"):
        assert check["spec"][key] == release.pod[key]
    (container,) = check["spec"]["containers"]
    assert container["securityContext"] == release.pod["containers"][0]["securityContext"]
    assert container["args"] == ["check", "--live"]


def test_a_single_replica_holds_up_no_drain(helm: str, tmp_path: Path) -> None:
    """Where as many must stay as there are, no node could ever be drained; so there is no budget then."""
    assert "PodDisruptionBudget" in rendered(helm, tmp_path, POSTGRESQL).objects
    assert "PodDisruptionBudget" not in rendered(helm, tmp_path, POSTGRESQL | {"replicas": 1}).objects


def test_an_empty_list_of_visitors_lets_nobody_in(helm: str, tmp_path: Path) -> None:
    """An empty `from` in a rule would let everybody in; so there is no rule."""
    policy = rendered(helm, tmp_path, SQLITE | {"networkPolicy": {"from": []}}).objects["NetworkPolicy"]["spec"]
    assert "ingress" not in policy
    assert "Ingress" in policy["policyTypes"]


def test_the_chart_is_of_this_version() -> None:
    """Its own version and the image's are the package's."""
    chart = documents(CHART / "Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def paths(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from paths(value, f"{above}{key}.")


def schema_paths(schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in schema.get("properties", {}).items():
        yield f"{above}{key}"
        yield from schema_paths(value, f"{above}{key}.")


def test_the_schema_knows_each_value_and_no_other() -> None:
    """What values.yaml explains is what the schema allows, but for what Helm itself adds."""
    free = ("config.", "resources.")
    explained = {path for path in paths(documents(CHART / "values.yaml")) if not path.startswith(free)}
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert explained == {path for path in schema_paths(schema) if not path.startswith(free)} - {"global"}


def test_the_same_values_make_the_same_text(helm: str, tmp_path: Path) -> None:
    """Nothing in it is made up anew each time, so an upgrade without a change changes nothing."""
    texts = [told(helm, tmp_path, EVERYTHING, "template", "alerts").stdout for _ in range(2)]
    assert len({hashlib.sha256(text.encode()).hexdigest() for text in texts}) == 1
