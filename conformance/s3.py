"""A store that speaks S3, and boto3: what boto3 uploads is read as from the folder, and refusals say what to do.

VERSITYGW is versitygw, which make builds: S3 over a folder."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

import boto3
import botocore.config

KEY, SECRET, REGION, BUCKET = "AKIDCONFORMANCE", "a-secret-that-nobody-may-see", "eu-test-1", "models"
ROOT = pathlib.Path(__file__).resolve().parent.parent


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Store:
    """versitygw over a folder, its bucket, and boto3 for it."""

    def __init__(self, folder, versions=False):
        data, side = f"{folder}/store", f"{folder}/side"
        for d in (data, side, f"{folder}/versions", f"{folder}/home"):
            os.makedirs(d, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        args = [os.environ["VERSITYGW"], "--port", f"127.0.0.1:{port}", "--access", KEY, "--secret", SECRET, "--region", REGION, "--quiet",
                "posix", "--sidecar", side, *(["--versioning-dir", f"{folder}/versions"] if versions else []), data]
        self.log = open(f"{folder}/versitygw.log", "wb")
        self.process = subprocess.Popen(args, stdout=self.log, stderr=self.log)
        self.env = {"AWS_ENDPOINT_URL_S3": self.url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-elsewhere-1",
                    "AWS_EC2_METADATA_DISABLED": "true", "HOME": f"{folder}/home", "AWS_CONFIG_FILE": f"{folder}/home/config"}
        self.s3 = boto3.client("s3", endpoint_url=self.url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION,
                               config=botocore.config.Config(retries={"total_max_attempts": 1}))

    def __enter__(self):
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=1)
            except urllib.error.HTTPError:
                break  # it refuses, so it is there
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise AssertionError(f"versitygw did not start: {pathlib.Path(self.log.name).read_text()}")
                time.sleep(0.05)
            else:
                break
        self.s3.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *a):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def upload(self, folder, prefix, **extra):
        for f in sorted(pathlib.Path(folder).iterdir()):
            self.s3.upload_file(str(f), BUCKET, f"{prefix}/{f.name}", **extra)


def rows(wreg, model):
    return json.loads(wreg("query", f"find * in {model} select path, dtype, shape, bytes, file, offset, layer", "--format", "json"))["rows"]


def made(folder, wreg):
    """Checkpoints in folders: shards with an index, torch's zip, GGUF in parts, a single file."""
    wreg("synth", "--quiet", "--arch", "hunyuan", "--out", f"{folder}/hunyuan")
    wreg("synth", "--quiet", "--arch", "llama", "--out", f"{folder}/llama ö+&= 1")
    fixtures = ROOT / "ingest/testdata/fixtures"
    found = [f"{folder}/hunyuan", f"{folder}/llama ö+&= 1"]
    for name in sorted(p.name for p in fixtures.iterdir() if p.is_dir() and "hostile" not in p.name):
        found.append(str(fixtures / name))
    return found


def check_folders(folder, wreg):
    """What boto3 uploads from a folder has the same rows as the folder, and is not read again when nothing changed."""
    with Store(folder) as store:
        wreg.env.update(store.env)
        compared = 0
        for i, source in enumerate(made(folder, wreg)):
            name, prefix = f"m{i}", f"some/{os.path.basename(source)}"
            store.upload(source, prefix)
            here = call(wreg, "ingest", "--quiet", "--no-hash", "--name", f"{name}-here", source)
            there = call(wreg, "ingest", "--quiet", "--name", f"{name}-there", f"s3://{BUCKET}/{prefix}")
            assert here[0] == there[0], f"{source}: {here} {there}"
            if here[0] == 2:
                continue
            assert rows(wreg, f"{name}-here") == rows(wreg, f"{name}-there"), source
            compared += 1
            again = call(wreg, "ingest", "--name", f"{name}-there", f"s3://{BUCKET}/{prefix}")
            assert again[0] == there[0] and "unchanged" in again[1], again
        assert compared >= 5, compared
        one = f"s3://{BUCKET}/some/hunyuan/model.safetensors"
        wreg("ingest", "--quiet", one, "--name", "one")
        assert rows(wreg, "one") == rows(wreg, "m0-here")
        registry = pathlib.Path(wreg.env["WREG_REGISTRY"]).read_bytes()
        for secret in (SECRET, KEY, "Signature"):
            assert secret.encode() not in registry, secret


def call(wreg, *args, **env):
    p = subprocess.run([os.environ.get("WREG", "wreg"), *args], env=dict(wreg.env, **env), capture_output=True, text=True)
    assert SECRET not in p.stdout + p.stderr
    return p.returncode, p.stdout + p.stderr


def check_pins(folder, wreg):
    """A prefix that was written over is refused by its pin; a file of a bucket that keeps versions is read by its own."""
    wreg("synth", "--quiet", "--arch", "hunyuan", "--out", f"{folder}/a")
    wreg("synth", "--quiet", "--arch", "hunyuan", "--seed", "2", "--layers", "2", "--out", f"{folder}/b")
    with Store(folder, versions=True) as store:
        wreg.env.update(store.env)
        store.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        store.upload(f"{folder}/a", "p")
        one = f"s3://{BUCKET}/p/model.safetensors"
        wreg("ingest", "--quiet", f"s3://{BUCKET}/p", "--name", "folder")
        wreg("ingest", "--quiet", one, "--name", "file")
        pins = [json.loads(wreg("ls", m, "--format", "json"))["rows"][0]["root"] for m in ("folder", "file")]
        assert re.search(r"\?pin=[0-9a-f]{32}$", pins[0]) and "?versionId=" in pins[1], pins
        before = rows(wreg, "file")
        store.upload(f"{folder}/b", "p")
        status, said = call(wreg, "ingest", pins[0], "--name", "again")
        assert status == 2 and "changed since it was listed" in said, said
        wreg("ingest", "--quiet", pins[1], "--name", "again")
        assert rows(wreg, "again") == before
        wreg("ingest", "--quiet", one, "--name", "newer")
        assert rows(wreg, "newer") != before


def check_refusals(folder, wreg):
    """What is refused is one sentence on one line, with what to do."""
    wreg("synth", "--quiet", "--arch", "hunyuan", "--out", f"{folder}/a")
    with Store(folder) as store:
        wreg.env.update(store.env)
        store.upload(f"{folder}/a", "p")
        at = f"s3://{BUCKET}/p"
        nobody = f"127.0.0.1:{free_port()}"
        none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        for address, env, want in [
            ("s3://there-is-none/p", {}, "there is no bucket there-is-none here"),
            (f"s3://{BUCKET}/q", {}, "neither such a file nor anything below it"),
            (f"s3://{BUCKET}/q.gguf", {}, "neither such a file nor anything below it"),
            (at, {"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret does not belong to these credentials"),
            (at, {"AWS_ACCESS_KEY_ID": "wrong"}, "does not know these credentials"),
            (at, none, "an anonymous request may not do this"),
            (at, {"AWS_PROFILE": "missing"}, "missing"),
            (at, {"AWS_ENDPOINT_URL_S3": f"http://{nobody}"}, nobody),
            (at + "?pin=" + "0" * 32, {}, "changed since it was listed"),
        ]:
            status, said = call(wreg, "ingest", address, **env)
            assert status == 2 and want in said and said.count("\n") == 1, f"{address} {env}: {status} {said}"
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
                                                        "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]}]}
        store.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
        status, said = call(wreg, "ingest", at, "--name", "public", **none)
        assert status == 0, said


def same(store, folder, prefix):
    """boto3 reads back what lies in a folder, and nothing else is there."""
    names = sorted(p.name for p in pathlib.Path(folder).iterdir())
    listed = [o["Key"] for o in store.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix + "/").get("Contents", [])]
    assert sorted(listed) == [f"{prefix}/{n}" for n in names], listed
    for n in names:
        got = store.s3.get_object(Bucket=BUCKET, Key=f"{prefix}/{n}", ChecksumMode="ENABLED")
        body, want = got["Body"].read(), pathlib.Path(folder, n).read_bytes()
        assert body == want and got["Metadata"]["sha256"] == hashlib.sha256(want).hexdigest(), n


def part_size(path):
    """How large wreg makes the parts of a file: its digest is in that, so that an unfinished one is known again."""
    d = hashlib.sha256(path.read_bytes()).digest()
    return (32 << 20) + ((1 << 20) * (d[0] << 12 | d[1] << 4 | d[2] >> 4) >> 20)


def check_push(folder, wreg):
    """What wreg push sends boto3 reads back; what was sent of a file before is not sent again; again nothing is sent."""
    made = pathlib.Path(folder, "made")
    wreg("synth", "--quiet", "--arch", "llama", "--vocab", "40000", "--hidden", "512", "--out", made)
    weights = made / "model.safetensors"
    size = part_size(weights)
    assert 2 * size < weights.stat().st_size < 3 * size, weights.stat().st_size
    with Store(folder) as store:
        wreg.env.update(store.env)
        key = "p/model.safetensors"
        begun = store.s3.create_multipart_upload(Bucket=BUCKET, Key=key, Metadata={"sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}, ChecksumAlgorithm="SHA256")
        other = store.s3.create_multipart_upload(Bucket=BUCKET, Key=key, ChecksumAlgorithm="SHA256")
        with open(weights, "rb") as f:
            first = f.read(size)
        store.s3.upload_part(Bucket=BUCKET, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=first, ChecksumAlgorithm="SHA256")
        store.s3.upload_part(Bucket=BUCKET, Key=key, UploadId=other["UploadId"], PartNumber=1, Body=first[:6 << 20], ChecksumAlgorithm="SHA256")
        said = call(wreg, "push", str(made), f"s3://{BUCKET}/p")
        assert said[0] == 0 and "computed the SHA-256 of 3 parts" in said[1], said
        same(store, made, "p")
        left = [u["UploadId"] for u in store.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]
        assert left == [other["UploadId"]], "the unfinished file was not gone on with, or another was"
        said = call(wreg, "push", str(made), f"s3://{BUCKET}/p")
        assert said[0] == 0 and " 0 B sent" in said[1], said
        pin = re.search(r"s3://\S+\?pin=[0-9a-f]{32}", said[1])[0]
        wreg("ingest", "--quiet", pin, "--name", "there")
        wreg("ingest", "--quiet", "--no-hash", str(made), "--name", "here")
        assert rows(wreg, "there") == rows(wreg, "here")


def check_races(folder, wreg):
    """Of several who publish to one place at once, what is there in the end is all of one. Whoever is not told that it is theirs is told that somebody
    else was there: all of them, where the store itself lets two conditional writes pass at once, as one over a folder may."""
    made = []
    for seed in range(4):
        wreg("synth", "--quiet", "--arch", "llama", "--seed", str(seed), "--out", f"{folder}/m{seed}")
        made.append(f"{folder}/m{seed}")
    with Store(folder) as store:
        wreg.env.update(store.env)
        for i in range(5):
            with concurrent.futures.ThreadPoolExecutor(len(made)) as pool:
                said = list(pool.map(lambda m: call(wreg, "push", m, f"s3://{BUCKET}/race{i}"), made))
            for status, text in said:
                assert status == 0 or "somebody else" in text, text
            there = store.s3.get_object(Bucket=BUCKET, Key=f"race{i}/model.safetensors")["Body"].read()
            winner = next(n for n, m in enumerate(made) if pathlib.Path(m, "model.safetensors").read_bytes() == there)
            same(store, made[winner], f"race{i}")


def check_push_refusals(folder, wreg):
    """What a store refuses of a push is one sentence, and nothing is visible."""
    wreg("synth", "--quiet", "--arch", "llama", "--out", f"{folder}/m")
    with Store(folder) as store:
        wreg.env.update(store.env)
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
                                                        "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]}]}
        store.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
        for address, env, want in [
            (f"s3://{BUCKET}/p", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "s3:PutObject"),
            (f"s3://{BUCKET}/p", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret does not belong"),
            ("s3://there-is-none/p", {}, "there is no bucket there-is-none"),
            (f"s3://{BUCKET}/p/model.safetensors", {}, "names a file"),
        ]:
            status, said = call(wreg, "push", f"{folder}/m", address, **env)
            assert status == 2 and want in said and said.count("\n") == 1, f"{address} {env}: {status} {said}"
        assert "Contents" not in store.s3.list_objects_v2(Bucket=BUCKET)
