"""The kustomize base renders, and what it says fits together and fits the programs."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from cluster import BUILD, ROOT

BASE = os.path.join(ROOT, "deploy", "kubernetes", "base")


@pytest.fixture(scope="module")
def manifests():
    for command in (["kubectl", "kustomize", BASE], ["kustomize", "build", BASE]):
        if shutil.which(command[0]):
            rendered = subprocess.run(command, capture_output=True, text=True)
            assert rendered.returncode == 0, rendered.stderr
            return [document for document in yaml.safe_load_all(rendered.stdout) if document]
    pytest.skip("neither kubectl nor kustomize is installed")


def of_kind(manifests, kind):
    return {document["metadata"]["name"]: document for document in manifests if document["kind"] == kind}


def containers(stateful_set):
    return stateful_set["spec"]["template"]["spec"]["containers"]


def test_there_is_a_stateful_set_and_a_service_for_each_part(manifests):
    parts = {"nats", "metadata-svc", "object-svc"}
    assert set(of_kind(manifests, "StatefulSet")) == parts
    assert set(of_kind(manifests, "Service")) == parts


def test_services_select_their_pods_and_name_ports_that_these_have(manifests):
    sets = of_kind(manifests, "StatefulSet")
    for name, service in of_kind(manifests, "Service").items():
        labels = sets[name]["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        assert sets[name]["spec"]["serviceName"] == name
        ports = {port["name"]: port["containerPort"] for port in containers(sets[name])[0]["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_disruption_budgets_select_the_pods_of_each_part(manifests):
    budgets = of_kind(manifests, "PodDisruptionBudget")
    for name, stateful_set in of_kind(manifests, "StatefulSet").items():
        labels = stateful_set["spec"]["template"]["metadata"]["labels"]
        assert budgets[name]["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_mounts_have_volumes_and_volumes_have_sources(manifests):
    config_maps = of_kind(manifests, "ConfigMap")
    for stateful_set in of_kind(manifests, "StatefulSet").values():
        pod = stateful_set["spec"]["template"]["spec"]
        claims = {claim["metadata"]["name"] for claim in stateful_set["spec"]["volumeClaimTemplates"]}
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounts = {mount["name"] for mount in containers(stateful_set)[0]["volumeMounts"]}
        assert mounts == claims | volumes
        for volume in pod["volumes"]:
            assert volume["configMap"]["name"] in config_maps


@pytest.mark.parametrize("name, folder", [("metadata-svc", "metadata-svc"), ("object-svc", "object-svc")])
def test_the_configuration_is_one_that_the_program_takes(manifests, name, folder, tmp_path):
    config = next(document["data"]["config.yaml"] for key, document in of_kind(manifests, "ConfigMap").items()
                  if re.fullmatch(name + "-[a-z0-9]+", key))
    file = tmp_path / "config.yaml"
    file.write_text(config)
    checked = subprocess.run([os.path.join(BUILD, folder, f"waybill-{name}"), "--check-config", "--config", str(file)],
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    settings = yaml.safe_load(config)
    container = containers(of_kind(manifests, "StatefulSet")[name])[0]
    ports = {port["containerPort"] for port in container["ports"]}
    assert {int(value.rsplit(":", 1)[1]) for key, value in settings.items() if key.endswith("listen")} == ports
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for key, value in settings.items():
        if key.endswith("_dir"):
            assert value in mounts, f"{key} is not on a volume of its own"


def test_what_one_part_calls_is_a_service_of_another(manifests):
    services = {name: {port["port"] for port in service["spec"]["ports"]}
                for name, service in of_kind(manifests, "Service").items()}
    for key, document in of_kind(manifests, "ConfigMap").items():
        for setting, value in yaml.safe_load(document["data"].get("config.yaml", "{}")).items():
            if setting.endswith("_target") or setting == "nats_url":
                host, port = value.replace("nats://", "").rsplit(":", 1)
                assert int(port) in services[host], (key, setting)


def test_probes_ask_for_paths_that_the_services_answer_for(manifests):
    for name in ("metadata-svc", "object-svc"):
        with open(os.path.join(ROOT, name, "main.c")) as source:
            known = set(re.findall(r'health_set\(service->health, "([^"]+)"', source.read()))
        container = containers(of_kind(manifests, "StatefulSet")[name])[0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe"):
            assert container[probe]["grpc"]["service"] in known
            assert container[probe]["grpc"]["port"] == ports["grpc"]
        assert container["livenessProbe"]["httpGet"]["port"] in ports


def test_pods_run_without_privileges(manifests):
    for stateful_set in of_kind(manifests, "StatefulSet").values():
        assert stateful_set["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
        for container in containers(stateful_set):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["resources"]["limits"]["memory"]


def test_the_manifests_are_valid_for_the_kubernetes_api(manifests, tmp_path):
    venv = tmp_path / "venv"
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True)
    installed = made.returncode == 0 and subprocess.run(
        [str(venv / "bin" / "pip"), "install", "-q", "kubernetes-validate"], capture_output=True, timeout=120)
    if not installed or installed.returncode != 0:
        pytest.skip("kubernetes-validate cannot be installed from PyPI")
    file = tmp_path / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    checked = subprocess.run([str(venv / "bin" / "kubernetes-validate"), "--strict", "-k", "1.27", str(file)],
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_container_files_install_and_copy_what_exists():
    with open(os.path.join(ROOT, "deploy", "packages.txt")) as packages:
        groups = {line.split(":")[0] for line in packages if ":" in line and not line.startswith("#")}
    for name in ("metadata-svc", "object-svc"):
        with open(os.path.join(ROOT, "deploy", "containers", f"{name}.Containerfile")) as file:
            text = file.read()
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M):
            for source in line.split()[:-1]:
                assert os.path.exists(os.path.join(ROOT, source)), source
        assert set(re.findall(r"RUN \S*install-packages ([a-z]+)", text)) <= groups
        assert f"waybill-{name}" in text and "USER" in text
