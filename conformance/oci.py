"""Models in a registry of artifacts, Debian's docker-registry, pushed and pulled by oras; and in the stores of ollama and
Docker Model Runner: everywhere they are the rows of the folder. ORAS is the oras to run."""
import hashlib
import json
import os
import re
import subprocess
import tarfile
import threading

WEIGHT = "application/vnd.cncf.model.weight.v1"
SETTINGS = "application/vnd.cncf.model.weight.config.v1"


class Registry:
    """docker-registry over a folder, on a free port."""

    def __init__(self, folder):
        config = f"{folder}/registry.json"
        with open(config, "w") as f:
            json.dump({"version": "0.1", "log": {"level": "info"}, "storage": {"filesystem": {"rootdirectory": f"{folder}/blobs"}}, "http": {"addr": "127.0.0.1:0"}}, f)
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=dict(os.environ, OTEL_TRACES_EXPORTER="none"))
        said = ""
        for line in self.process.stderr:
            said += line
            if m := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                self.host = m.group(1)
                break
        else:
            raise AssertionError(f"docker-registry did not start: {said}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()  # a full pipe would stop it

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.process.kill()
        self.process.wait()


def oras(*args, cwd=None):
    p = subprocess.run([os.environ["ORAS"], *args], cwd=cwd, capture_output=True, text=True, env=dict(os.environ, DOCKER_CONFIG="/nonexistent"))
    assert p.returncode == 0, f"oras {' '.join(args)}: {p.stdout}{p.stderr}"
    return p.stdout


def model(folder, wreg):
    """A checkpoint of several shards, and its files by name."""
    wreg("synth", "--arch", "hunyuan", "--without", "layers.3.mlp.experts.2.up_proj.weight", "--shard-bytes", "200000", "--out", f"{folder}/model")
    names = sorted(os.listdir(f"{folder}/model"))
    assert sum(n.endswith(".safetensors") for n in names) > 2, names
    return {n: open(f"{folder}/model/{n}", "rb").read() for n in names}


def rows(wreg, name, *fields):
    found = json.loads(wreg("query", f"find * in {name} select path, dtype, shape, bytes, {', '.join(fields)}", "--json"))
    return found["rows"] if isinstance(found, dict) else found


def same(wreg, address, name, hashed=False):
    """wreg ingest of an address registers what that of the folder did."""
    wreg("ingest", address, "--name", name)
    fields = ["hash"] if hashed else ["file"]
    want, got = rows(wreg, "model", *fields), rows(wreg, name, *fields)
    assert len(want) == 93 and got == want, f"{address}: {len(got)} rows, the folder has {len(want)}"
    gaps = [wreg("query", f"gaps in {m}") for m in ("model", name)]
    assert gaps[0] == gaps[1] and "experts.2.up_proj" in gaps[0], gaps


def check_modelpack(folder, wreg):
    files = model(folder, wreg)
    wreg("ingest", f"{folder}/model")
    annotations = {n: {"org.cncf.model.filepath": n} for n in files}
    with open(f"{folder}/annotations.json", "w") as f:
        json.dump(annotations, f)
    with Registry(folder) as r:
        layers = [f"{n}:{WEIGHT if n.endswith('.safetensors') else SETTINGS}.raw" for n in files]
        oras("push", "--plain-http", "--artifact-type", "application/vnd.cncf.model.manifest.v1+json", "--annotation-file", f"{folder}/annotations.json",
             f"{r.host}/team/model:v1", *layers, cwd=f"{folder}/model")
        same(wreg, f"oci://{r.host}/team/model:v1", "pack")
        pin = wreg("show", "pack", "--json")
        assert re.search(rf"oci://{re.escape(r.host)}/team/model:v1@sha256:[0-9a-f]{{64}}", pin), pin
        assert "unchanged" in wreg("ingest", f"oci://{r.host}/team/model:v1", "--name", "pack")
        wreg("ingest", f"oci://{r.host}/team/model:v2", status=2)
        wreg("ingest", f"oci://{r.host}/team/other", status=2)


def check_kitops(folder, wreg):
    """A layer is an archive: of the weights, or of the whole folder."""
    files = model(folder, wreg)
    wreg("ingest", f"{folder}/model")
    layers = []
    for n in files:
        with tarfile.open(f"{folder}/{n}.tar", "w") as t:
            t.add(f"{folder}/model/{n}", arcname=f"./{n}")
        layers.append(f"{n}.tar:application/vnd.kitops.modelkit.modelpart.v1.tar")
    with tarfile.open(f"{folder}/all.tar", "w", format=tarfile.GNU_FORMAT) as t:
        t.add(f"{folder}/model", arcname="")
    with tarfile.open(f"{folder}/all.tar.gz", "w:gz") as t:
        t.add(f"{folder}/model", arcname="")
    with Registry(folder) as r:
        oras("push", "--plain-http", f"{r.host}/kit:parts", *layers, cwd=folder)
        same(wreg, f"oci://{r.host}/kit:parts", "parts")
        oras("push", "--plain-http", f"{r.host}/kit:all", f"all.tar:{WEIGHT}.tar", cwd=folder)
        same(wreg, f"oci://{r.host}/kit:all", "all")
        oras("push", "--plain-http", f"{r.host}/kit:packed", f"all.tar.gz:{WEIGHT}.tar+gzip", cwd=folder)
        wreg("ingest", f"oci://{r.host}/kit:packed", status=2)


def check_export(folder, wreg):
    """An export of an artifact, or of a store's model, is that of the folder: but for the receipt, which names the source."""
    wreg("synth", "--arch", "hunyuan", "--shard-bytes", "200000", "--out", f"{folder}/model")
    files = {n: open(f"{folder}/model/{n}", "rb").read() for n in os.listdir(f"{folder}/model")}
    wreg("export", f"{folder}/model", "--out", f"{folder}/local")
    want = {n: open(f"{folder}/local/{n}", "rb").read() for n in os.listdir(f"{folder}/local") if n != "wreg-receipt.json"}
    with tarfile.open(f"{folder}/all.tar", "w") as t:
        t.add(f"{folder}/model", arcname="")
    wreg.env.update(MODELS_PATH=f"{folder}/docker", XDG_CACHE_HOME=f"{folder}/cache")
    docker_model(folder, files)
    with Registry(folder) as r:
        oras("push", "--plain-http", f"{r.host}/m:raw", *(f"{n}:{WEIGHT}.raw" for n in files), cwd=f"{folder}/model")
        oras("push", "--plain-http", f"{r.host}/m:tar", f"all.tar:{WEIGHT}.tar", cwd=folder)
        for i, address in enumerate((f"oci://{r.host}/m:raw", f"oci://{r.host}/m:tar", "docker-model://model")):
            wreg("export", address, "--out", f"{folder}/out{i}")
            got = {n: open(f"{folder}/out{i}/{n}", "rb").read() for n in os.listdir(f"{folder}/out{i}") if n != "wreg-receipt.json"}
            assert got == want, f"{address}: {[n for n in want if got.get(n) != want[n]]}"
        wreg("export", "model", "--out", f"oci://{r.host}/m:mlx")
        oras("pull", "--plain-http", "-o", f"{folder}/pulled", f"{r.host}/m:mlx")
        got = {n: open(f"{folder}/pulled/{n}", "rb").read() for n in os.listdir(f"{folder}/pulled") if n != "wreg-receipt.json"}
        assert got == want, f"pushed: {[n for n in want if got.get(n) != want[n]]}"


def check_push(folder, wreg):
    """What wreg pushes is pulled by oras, byte for byte, and read where it lies; what is there is not sent again."""
    files = model(folder, wreg)
    wreg("ingest", f"{folder}/model")
    with Registry(folder) as r:
        address = f"oci://{r.host}/team/model:v1"
        for _ in range(2):
            wreg("push", f"{folder}/model", address)
        same(wreg, address, "pushed")
        oras("pull", "--plain-http", "-o", f"{folder}/pulled", f"{r.host}/team/model:v1")
        assert {n: open(f"{folder}/pulled/{n}", "rb").read() for n in os.listdir(f"{folder}/pulled")} == files
        manifest = json.loads(oras("manifest", "fetch", "--plain-http", f"{r.host}/team/model:v1"))
        assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json" and len(manifest["layers"]) == len(files), manifest


class Store:
    """Blobs where a program keeps them."""

    def __init__(self, root, blob):
        self.root, self.blob = root, blob

    def write(self, path, data):
        os.makedirs(os.path.dirname(f"{self.root}/{path}"), exist_ok=True)
        with open(f"{self.root}/{path}", "wb") as f:
            f.write(data)

    def layer(self, media, data, **more):
        digest = hashlib.sha256(data).hexdigest()
        self.write(self.blob + digest, data)
        return {"mediaType": f"application/vnd.{media}", "digest": f"sha256:{digest}", "size": len(data), **more}

    def manifest(self, layers):
        return json.dumps({"schemaVersion": 2, "config": self.layer("docker.container.image.v1+json", b"{}"), "layers": layers}).encode()


def apart(data):
    """A safetensors file as one a tensor."""
    n = int.from_bytes(data[:8], "little")
    for name, t in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            header = json.dumps({name: dict(t, data_offsets=[0, b - a])}).encode()
            yield name, len(header).to_bytes(8, "little") + header + data[8 + n + a:8 + n + b]


def docker_model(folder, files):
    """docker-model://model, in $MODELS_PATH of folder/docker."""
    docker = Store(f"{folder}/docker", "blobs/sha256/")
    text = docker.manifest([docker.layer("docker.ai.model.file", data, annotations={"org.cncf.model.filepath": name}) for name, data in files.items()])
    digest = hashlib.sha256(text).hexdigest()
    docker.write(f"manifests/sha256/{digest}", text)
    docker.write("models.json", json.dumps({"models": [{"id": f"sha256:{digest}", "tags": ["docker.io/ai/model:latest"], "files": []}]}).encode())


def check_stores(folder, wreg):
    files = model(folder, wreg)
    wreg("ingest", f"{folder}/model")
    wreg.env.update(OLLAMA_MODELS=f"{folder}/ollama", MODELS_PATH=f"{folder}/docker")
    docker_model(folder, files)
    same(wreg, "docker-model://model", "docker", hashed=True)
    ollama = Store(f"{folder}/ollama", "blobs/sha256-")
    layers = [ollama.layer("ollama.image.json", data, name=name) for name, data in files.items() if name.endswith(".json") and "index" not in name]
    layers += [ollama.layer("ollama.image.tensor", one, name=name) for n, data in files.items() if n.endswith(".safetensors") for name, one in apart(data)]
    ollama.write("manifests/registry.ollama.ai/library/model/latest", ollama.manifest(layers))
    same(wreg, "ollama://model", "ollama", hashed=True)
    for name in ("docker", "ollama"):
        wreg("verify", name)
    wreg("diff", "docker", "ollama", "--values")
    blob = f"{folder}/ollama/blobs/sha256-{layers[-1]['digest'].removeprefix('sha256:')}"
    with open(blob, "r+b") as f:
        f.seek(-1, os.SEEK_END)
        last = f.read(1)[0]
        f.seek(-1, os.SEEK_END)
        f.write(bytes([last ^ 1]))
    wreg("verify", "ollama", status=1)
    wreg("diff", "docker", "ollama", "--values", status=2)  # a file changed since
