"""What people deploy with: each file is checked by the tool that will read it, and against what it must agree with."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from forwarder.app import STOP_SECONDS, Forwarder
from forwarder.cli.root import COMMANDS
from forwarder.common.databases import PostgresAddress
from forwarder.config import Listen, advice
from forwarder.daemon import BEAT
from forwarder.store import Store
from forwarder.web.server import Server, bind
from tests.kit.deploy import DEPLOY, ROOT, SECRET_FILES, documents, installed, instructions, load_container_config, run

UNITS: Final = [DEPLOY / "sentrytex-forwarder.service", *sorted((DEPLOY / "backup").glob("*.service"))]

EXPOSURE: Final = 2.0
"""The most that `systemd-analyze security` may find, of 10."""
COMPOSE: Final = {"compose.yaml": "config.container.yaml", "compose.postgresql.yaml": "config.postgresql.yaml"}
"""Each with the config that it begins with."""
NEW_IN_254: Final = ("RestartSteps", "RestartMaxDelaySec")


# The image, and Compose


def test_the_dockerfile_is_clean() -> None:
    """hadolint finds nothing to say."""
    result = run(Path(sys.executable).with_name("hadolint"), DEPLOY / "Dockerfile")
    assert (result.returncode, result.stdout) == (0, "")


def test_the_image_is_built_from_what_docker_is_shown() -> None:
    """Whatever the Dockerfile copies is there, and .dockerignore lets it through."""
    copied = [part.rstrip("/") for line in instructions("COPY") if "--from" not in line for part in line.split()[:-1]]
    shown = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(copied) == sorted(shown)
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_the_image_installs_what_is_locked_and_nothing_else() -> None:
    """Every installation is held to the lock's hashes, or takes no dependency at all."""
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert len(installs) == 2
    for line in installs:
        assert "--require-hashes" in line or {"--no-deps", "--no-build-isolation"} <= set(line.split())


def pins(lock: str) -> dict[str, str]:
    """The version of each package that a lock names."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", text, re.MULTILINE))


def test_the_image_has_the_driver_of_postgresql() -> None:
    """Its lock is the runtime's with the extra beside it: no other package, and no other version of one."""
    assert any("requirements-postgres.lock" in line for line in instructions("RUN"))
    runtime, image = pins("requirements.lock"), pins("requirements-postgres.lock")
    assert {name: image[name] for name in runtime} == runtime
    assert set(image) - set(runtime) == {"psycopg", "psycopg-binary", "psycopg-pool"}


def test_the_lock_with_apprise_is_the_runtime_and_the_library() -> None:
    """Both locks can be installed into one environment: they name no package in two versions."""
    runtime, image, apprise = (pins(f"requirements{name}.lock") for name in ("", "-postgres", "-apprise"))
    assert {name: apprise[name] for name in runtime} == runtime
    assert set(apprise) - set(runtime) == {"apprise", "markdown", "pyyaml"}
    assert {name: image[name] for name in image.keys() & apprise} == {
        name: apprise[name] for name in image.keys() & apprise
    }


def test_the_image_runs_commands_that_exist_as_nobody_in_particular() -> None:
    """What it starts with and is asked for its health by are commands of ours, under a number that is not root's."""
    (user,) = instructions("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert json.loads(instructions("ENTRYPOINT")[-1]) == ["forwarder"]
    (start,) = json.loads(instructions("CMD")[-1])
    program, ask = json.loads(instructions("HEALTHCHECK")[-1].partition("CMD ")[2])
    assert (program, start in COMMANDS, ask in COMMANDS) == ("forwarder", True, True)


def test_the_config_for_containers_works(tmp_path: Path) -> None:
    """It loads, keeps the state in the image's volume, and can be reached from outside the container."""
    config = load_container_config(tmp_path, (DEPLOY / "config.container.yaml").read_text(encoding="utf-8"))
    assert isinstance(config.database, Path)
    assert str(config.database.parent) == instructions("VOLUME")[-1]
    assert config.web.listen is not None
    assert not config.web.listen.is_loopback
    assert str(config.web.listen.port) == instructions("EXPOSE")[-1]
    assert advice(config) == []


def test_the_config_for_postgresql_is_the_other_one_but_for_the_database(tmp_path: Path) -> None:
    """There is nothing to choose between the two but where the state is kept."""
    file, server = (documents(DEPLOY / name) for name in COMPOSE.values())
    assert file | {"database": None} == server | {"database": None}
    config = load_container_config(tmp_path, (DEPLOY / "config.postgresql.yaml").read_text(encoding="utf-8"))
    assert isinstance(config.database, PostgresAddress)
    assert advice(config) == []


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_gives_the_config_its_secrets(name: str) -> None:
    """The service is handed each secret file that the config asks for, and no other."""
    compose = documents(DEPLOY / name)
    asked = set(SECRET_FILES.findall((DEPLOY / COMPOSE[name]).read_text(encoding="utf-8")))
    assert set(compose["secrets"]) == set(compose["services"]["forwarder"]["secrets"]) == asked
    assert "environment" not in compose["services"]["forwarder"]


def test_liveness_and_readiness_are_asked_for_apart() -> None:
    """What restarts a container asks whether its threads turn; what waits for it, whether it is ready."""
    assert json.loads(instructions("HEALTHCHECK")[-1].partition("CMD ")[2]) == ["forwarder", "health"]
    for name in COMPOSE:
        check = documents(DEPLOY / name)["services"]["forwarder"]["healthcheck"]
        assert check["test"] == ["CMD", "forwarder", "health", "--ready"]


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_confines_the_service(name: str) -> None:
    """Only the volume can be written, no privilege can be had, and a stop leaves time for sends under way."""
    service = documents(DEPLOY / name)["services"]["forwarder"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    published = [port.split(":")[0] if isinstance(port, str) else port["host_ip"] for port in service["ports"]]
    assert published == ["127.0.0.1"]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    written = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
    assert written == (["state:/var/lib/forwarder"] if name == "compose.yaml" else [])


def test_compose_makes_the_database_that_the_config_names() -> None:
    """Its user, its name, its host and its password file; nobody else reaches it, and each replica has a port."""
    compose = documents(DEPLOY / "compose.postgresql.yaml")
    forwarder, server = compose["services"]["forwarder"], compose["services"]["postgres"]
    told = server["environment"]
    password = told["POSTGRES_PASSWORD_FILE"]
    wanted = f"postgresql://{told['POSTGRES_USER']}:${{file:{password}}}@postgres/{told['POSTGRES_DB']}?sslmode=disable"
    assert documents(DEPLOY / "config.postgresql.yaml")["database"] == wanted
    assert Path(password).name in server["secrets"]
    assert (server["networks"], "ports" in server) == (["database"], False)
    assert compose["networks"]["database"] == {"internal": True}
    assert set(forwarder["networks"]) == set(compose["networks"])
    assert forwarder["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    first, last = map(int, forwarder["ports"][0]["published"].split("-"))
    assert last - first + 1 == forwarder["deploy"]["replicas"] == 2
    assert server["volumes"] == ["database:/var/lib/postgresql/data"]


# systemd


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_hardened(unit: Path) -> None:
    """systemd rates what an intruder could reach from the service, and finds little."""
    result = run(installed("systemd-analyze", "Debian: systemd"), "security", "--offline=yes", unit)
    rated = re.search(r"exposure level for \S+ (\d+\.\d+)", result.stdout)
    assert rated, result.stdout + result.stderr
    assert float(rated[1]) <= EXPOSURE, result.stdout


@pytest.mark.parametrize("unit", [*UNITS, *sorted((DEPLOY / "backup").glob("*.timer"))], ids=lambda unit: unit.name)
def test_a_unit_is_understood(unit: Path, tmp_path: Path) -> None:
    """systemd finds no mistake in it, but for the program that is not here and keys that it is too old for."""
    for other in (*UNITS, unit):
        text = other.read_text(encoding="utf-8").replace("/opt/sentrytex-forwarder/bin/forwarder", "/bin/true")
        (tmp_path / other.name).write_text(text)
    result = run(installed("systemd-analyze", "Debian: systemd"), "verify", tmp_path / unit.name)
    said = [line for line in result.stderr.splitlines() if not any(f"'{key}'" in line for key in NEW_IN_254)]
    assert (result.returncode, said) == (0, [])


def test_the_unit_fits_the_daemon() -> None:
    """systemd waits for the daemon's word, for longer than its beat and its end take; no secret is in the unit."""
    text = UNITS[0].read_text(encoding="utf-8")
    settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert settings["Type"] == "notify"
    # The end lets sends under way end, and is silent meanwhile.
    assert float(settings["WatchdogSec"]) > STOP_SECONDS + 10 * BEAT
    assert float(settings["TimeoutStopSec"]) > STOP_SECONDS
    assert settings["ExecStart"].split()[-1] in COMMANDS
    # A signal would come back at once, and a config with mistakes pass for one that was taken over.
    assert settings["ExecReload"] == settings["ExecStart"].replace(" run", " reload")
    assert not re.search(r"^Environment=.*(KEY|TOKEN|SECRET)", text, re.MULTILINE)


def test_the_env_file_has_what_the_example_config_asks_for() -> None:
    """Each variable that the example needs is in the file that the unit reads, without a value."""
    example = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    needed = {
        name
        for line in example.splitlines()
        if not line.lstrip().startswith("#")
        for name in re.findall(r"\$\{(\w+)\}", line.partition(" #")[0])
    }
    lines = (DEPLOY / "sentrytex-forwarder.env").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if line and not line.startswith("#")} == {f"{name}=" for name in needed}


# Prometheus and Grafana


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """Every metric that a forwarder shows at /metrics when it starts, by name, with the labels of its samples."""
    folder = tmp_path_factory.mktemp("exported")
    config = load_container_config(folder, (DEPLOY / "config.container.yaml").read_text(encoding="utf-8"))
    assert config.web.token
    listening = bind(Listen(host="127.0.0.1", port=0))
    request = urllib.request.Request(f"http://127.0.0.1:{listening.getsockname()[1]}/metrics")
    request.add_header("Authorization", f"Bearer {config.web.token.get_secret_value()}")
    with (
        closing(Store.open_exclusive(folder / "forwarder.db")) as store,
        closing(Server(Forwarder(config, store), listening)) as web,
    ):
        web.start()
        with urllib.request.urlopen(request, timeout=60) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    found: dict[str, list[dict[str, str]]] = {}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = documents(DEPLOY / "prometheus" / "rules.yml")["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    return found


def queries() -> list[str]:
    """Every query of the dashboard, its variables replaced by what Grafana would put there."""
    shown = dashboard()
    found = [target["expr"] for panel in shown["panels"] for target in panel.get("targets", ())]
    found += [note["expr"] for note in shown["annotations"]["list"]]
    fills = {"$__rate_interval": "5m", "$__range": "24h", "$instance": ".*", "$connector": ".*"}
    for variable, value in fills.items():
        found = [query.replace(variable, value) for query in found]
    return found


def asked_for(query: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The metrics that a query reads, each with the labels that it must have; Prometheus's own are left out."""
    for name, _, matchers in re.findall(r"\b((?:forwarder|process)_\w+)\b(\{([^}]*)\})?", query):
        pairs = dict(re.findall(r'(\w+)="([^"]*)"', matchers))
        yield name, {label: value for label, value in pairs.items() if label not in ("instance", "job")}


def test_the_rules_and_the_scrape_config_are_valid() -> None:
    """promtool finds no mistake in either."""
    promtool = installed("promtool", "Debian: prometheus")
    for command in (("check", "rules", "rules.yml"), ("check", "config", "--syntax-only", "prometheus.yml")):
        result = run(promtool, *command, folder=DEPLOY / "prometheus")
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_rules_fire_when_they_should() -> None:
    """promtool plays each trouble through, and the right alerts fire in their time, and no other."""
    result = run(
        installed("promtool", "Debian: prometheus"), "test", "rules", "rules_test.yml", folder=DEPLOY / "prometheus"
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_rule_is_played_through_and_says_what_to_do() -> None:
    """No alert is without a case that fires it, a severity, a summary and a description."""
    played = (DEPLOY / "prometheus" / "rules_test.yml").read_text(encoding="utf-8")
    for rule in rules():
        assert f'{{alertname="{rule["alert"]}"' in played, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_commands_that_rules_name_exist() -> None:
    """Whoever is woken is sent to a command that is there."""
    named = {name for rule in rules() for name in re.findall(r"`forwarder (\w+)", rule["annotations"]["description"])}
    assert named
    assert named <= set(COMMANDS)


def test_rules_and_dashboard_read_what_is_exported(exported: dict[str, list[dict[str, str]]]) -> None:
    """Each metric that a rule or a panel reads is one that a forwarder exports, with the values of its labels."""
    asked = [pair for query in (*queries(), *(rule["expr"] for rule in rules())) for pair in asked_for(query)]
    assert len(asked) > 50
    for name, labels in asked:
        assert name in exported, name
        assert any(labels.items() <= sample.items() for sample in exported[name]), f"{name} {labels}"


def test_the_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    """promtool can read every one of them."""
    recorded = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    result = run(installed("promtool", "Debian: prometheus"), "check", "rules", tmp_path / "rules.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_dashboard_is_whole() -> None:
    """It asks for its data source, its panels do not cover each other, and each has a title and says what it shows."""
    shown = dashboard()
    assert [variable["name"] for variable in shown["templating"]["list"]] == ["datasource", "instance", "connector"]
    assert len({panel["id"] for panel in shown["panels"]}) == len(shown["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in shown["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"
