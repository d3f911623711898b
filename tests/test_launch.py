"""Launchers are what their systems accept, and start the search they were asked for."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from autoreg.cli import main
from autoreg.config import load_config, shipped
from autoreg.errors import InputError
from autoreg.launch import KINDS, Cluster, launcher

CONFIG = shipped("launchers") / "configs" / "smoke.yaml"
OUTPUT = Path("runs/with space")
SHIM = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
"""
SRUN = """#!/usr/bin/env bash
while [[ "$1" == -* ]]; do [ "$1" = -w ] && { NODE=$2; shift; }; shift; done
[ "$1" = hostname ] && { echo 10.0.0.1; exit; }
NODE=$NODE exec "$@"
"""


def render(kind: str, **cluster: object) -> str:
    return launcher(kind, CONFIG, dataset=Path("d.json"), output=OUTPUT, cluster=Cluster(**{"nodes": 2, **cluster}))


def check_search(line: str) -> None:
    tokens = [token for token in shlex.split(line) if "RESUME" not in token]
    context = main.commands["search"].make_context("search", tokens[tokens.index("autoreg") + 2 :])
    settings = list(context.params["overrides"])
    assert context.params["output"] == OUTPUT
    assert load_config(CONFIG, settings).workers.most == 2
    assert load_config(CONFIG, settings).workers.fewest == 1


@pytest.mark.parametrize("kind", ["local", "slurm"])
@pytest.mark.parametrize("gpus", [0, 1])
def test_a_script_has_no_syntax_error_and_runs_the_search(kind, gpus):
    text = render(kind, gpus_per_node=gpus)
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    check_search(text.strip().splitlines()[-1].replace('"$ADDRESS:$PORT"', "a").replace('"127.0.0.1:$PORT"', "a"))
    assert ("--num-gpus=1" in text) == bool(gpus)
    assert "RAY_AUTH_MODE=token" in text


def shimmed(tmp_path: Path, kind: str) -> list[list[str]]:
    """Run a script where ray, autoreg and Slurm's programs only note how they were called."""
    import json

    programs = tmp_path / "bin"
    programs.mkdir()
    lasting = SHIM + "import time; time.sleep(1)\n"  # nodes start beside the search
    for name, text in {
        "ray": SHIM,
        "autoreg": lasting,
        "srun": SRUN,
        "scontrol": "#!/bin/sh\necho n1\necho n2\n",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / "script").write_text(render(kind))
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    environment |= {"HOME": str(tmp_path), "SLURM_JOB_ID": "77", "SLURM_JOB_NODELIST": "n[1-2]"}
    done = subprocess.run(
        ["bash", str(tmp_path / "script")], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["local", "slurm"])
def test_a_script_starts_head_workers_and_search(tmp_path, kind):
    calls = shimmed(tmp_path, kind)
    starts = [call for call in calls if call[:2] == ["ray", "start"]]
    assert sorted("--head" in call for call in starts) == [False, True]
    assert all("--block" in call and "--num-cpus=2" in call for call in starts)
    searches = [call for call in calls if call[0] == "autoreg"]
    assert len(searches) == 1
    assert "--resume" not in searches[0]
    token = tmp_path / ".ray" / "auth_token"
    assert re.fullmatch("[0-9a-f]{64}", token.read_text())
    assert token.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", ["local", "slurm"])
def test_a_script_that_starts_again_goes_on(tmp_path, kind):
    (tmp_path / OUTPUT).mkdir(parents=True)
    (tmp_path / OUTPUT / "result.json").write_text("{}")
    assert "--resume" in next(call for call in shimmed(tmp_path, kind) if call[0] == "autoreg")


def test_slurm_queues_a_preempted_job_again_and_outlives_a_node():
    text = render("slurm", gpus_per_node=1)
    options = re.findall(r"^#SBATCH (\S+)", text, flags=re.M)
    assert {"--requeue", "--no-kill", "--nodes=2", "--gpus-per-node=1", "--cpus-per-task=2"} <= set(options)


@pytest.mark.parametrize("gpus", [0, 2])
def test_ray_accepts_its_cluster_file(gpus):
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load(render("ray", hosts=("10.0.0.1", "10.0.0.2"), gpus_per_node=min(gpus, 1)))
    validate_config(prepare_config(config))
    assert config["provider"] == {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]}


@pytest.mark.parametrize("gpus", [0, 1])
def test_ray_accepts_its_cloud_file(gpus):
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster = Cluster(nodes=2, gpus_per_node=gpus, image="me/autoreg:1", instance="g5.2xlarge", region="eu-west-1")
    text = launcher("aws", CONFIG, dataset="s3://b/set/dataset.json", output="s3://b/run", cluster=cluster)
    config = yaml.safe_load(text)
    validate_config(prepare_config(config))
    assert config["provider"]["region"] == "eu-west-1"
    kinds = config["available_node_types"]
    assert {kind["node_config"]["InstanceType"] for kind in kinds.values()} == {"g5.2xlarge"}
    assert kinds["worker"]["min_workers"] == kinds["worker"]["max_workers"] == 1
    assert kinds["worker"]["resources"] == {"CPU": 2} | ({"GPU": 1} if gpus else {})
    assert all("RAY_AUTH_MODE=token" in config[f"{who}_start_ray_commands"][1] for who in ("head", "worker"))
    assert "s3://b/set/dataset.json" in text


def test_machines_of_a_cloud_share_no_folder():
    with pytest.raises(InputError, match=r"expected --dataset and --output as s3:// URIs, got d\.json"):
        launcher("aws", CONFIG, dataset=Path("d.json"), output="s3://b/run", cluster=Cluster())


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_kubernetes_object_asks_for_what_was_said(nodes):
    job = yaml.safe_load(render("kuberay", nodes=nodes, gpus_per_node=1 if nodes == 2 else 0, image="me/autoreg:1"))
    cluster = job["spec"]["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert cluster["authOptions"] == {"mode": "token", "secretName": "autoreg-token"}
    assert [group["replicas"] for group in cluster["workerGroupSpecs"]] == [nodes - 1] * (nodes - 1)
    container = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "me/autoreg:1"
    assert container["resources"]["limits"].get("nvidia.com/gpu") == (None if nodes == 1 else "1")
    if nodes == 2:
        check_search(job["spec"]["entrypoint"])


@pytest.mark.parametrize("gpus", [0, 1])
def test_pods_are_what_kubernetes_takes(gpus):
    """By the published schema; that of a RayJob's own fields is no part of it."""
    import kubernetes_validate

    cluster = yaml.safe_load(render("kuberay", gpus_per_node=gpus, image="me/autoreg:1"))["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, **group["template"]}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
        wrong = pod | {"spec": {"containers": [{"name": "ray", "imag": "me"}]}}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


def test_the_same_arguments_give_the_same_file():
    assert all(render(kind) == render(kind) for kind in KINDS if kind != "aws")


@pytest.mark.parametrize(
    ("kind", "cluster", "words"),
    [
        ("lsf", {}, "local, slurm, ray, aws, kuberay, got 'lsf'"),
        ("slurm", {"nodes": 0}, "--nodes: expected at least 1"),
        ("slurm", {"nodes": 4}, "search.batch_size: expected at least 4"),
        ("ray", {"hosts": ("a",)}, "--host: expected 2"),
    ],
)
def test_wrong_wishes_are_named(kind, cluster, words):
    with pytest.raises(InputError, match=re.escape(words)):
        render(kind, **cluster)


def test_a_store_as_output_keeps_its_uri_and_is_always_resumed(tmp_path):
    output = "s3://bucket/run"
    text = launcher("local", CONFIG, dataset="s3://bucket/set/dataset.json", output=output, cluster=Cluster(1, 0, 2))
    assert "--dataset s3://bucket/set/dataset.json --output s3://bucket/run" in text
    script = tmp_path / "resume"
    lines = text.splitlines()
    first = lines.index("RESUME=()")
    script.write_text("\n".join([f"OUTPUT={output}", *lines[first : first + 3], "echo ${RESUME[@]}"]))
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "--resume"
