"""wreg push to a hub, read back by hf and by wreg; a hub that misbehaves while it is sent to."""
import concurrent.futures
import filecmp
import os
import subprocess
import sys
import time
from pathlib import Path

import remotes

TOKEN, LIMIT = "hf_a-token-that-nobody-else-may-see", 60
PART = 20_000  # so that the shards have some

# What goes wrong while it is sent, and whether it has to succeed all the same.
FAULTS = {"": True, "s503:first=3": True, "s429:first=2": True, "s500:method=PUT,first=2": True, "drop:method=PUT,first=2": True, "reset:method=PUT,first=2": True,
          "expired:port=cdn,first=2": True, "hang:method=PUT,first=1": True, "html:method=PUT,first=1": True, "drop:p=0.2": True, "s503:p=0.3": True,
          "expired:port=cdn": False, "s503:method=PUT": False, "drop:method=PUT": False, "loop:method=PUT": False, "s403:kind=api": False,
          "html:kind=api": False, "badjson:kind=api": False}


class Hub(remotes.Hub):
    """hub.py that can be pushed to, in parts."""

    def __init__(self, root, fault="", *more):
        args = ["--root", root, "--token", TOKEN, "--writable", "--lfs-part", str(PART), *more]
        self.process, self.endpoint, self.ports = remotes.started(args + (["--fault", fault] if fault else []))


def environment(folder, hub):
    env = dict(os.environ, HF_ENDPOINT=hub.endpoint, HF_TOKEN=TOKEN, HF_HOME=f"{folder}/hf", XDG_CACHE_HOME=f"{folder}/cache", WREG_REGISTRY=f"{folder}/registry.db",
               HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1")
    env.pop("HF_HUB_OFFLINE", None)
    return env


def call(env, *args):
    p = subprocess.run(args, env=env, capture_output=True, text=True, timeout=2 * LIMIT)
    return p.returncode, p.stdout, p.stderr


def push(env, *args):
    return call(env, os.environ.get("WREG", "wreg"), "push", *args)


def hf(env, *args):
    status, out, err = call(env, str(Path(sys.executable).parent / "hf"), *args)
    assert status == 0, f"hf {' '.join(args)}: {out}{err}"
    return out


def same(got, want):
    names = sorted(os.listdir(want))
    assert sorted(n for n in os.listdir(got) if n != ".cache") == names, f"{os.listdir(got)} against {names}"
    assert not any(filecmp.cmpfiles(got, want, names, shallow=False)[1:]), "files differ"


def export(folder, wreg):
    wreg("synth", "--arch", "hunyuan", "--out", f"{folder}/source")
    wreg("export", f"{folder}/source", "--target", "mlx", "--out", f"{folder}/mlx", "--no-register")
    return f"{folder}/mlx"


def check_read_back(folder, wreg):
    """What wreg pushed is what hf downloads, from main and from a branch, and what wreg ingests; hf's own upload of it changes nothing."""
    out = export(folder, wreg)
    with Hub(f"{folder}/root") as hub:
        env = environment(folder, hub)
        for address, revision in ("hf://acme/pushed", "main"), ("hf://acme/pushed@mlx", "mlx"):
            status, _, err = push(env, out, address)
            assert status == 0 and "verified: the hub lists" in err, err
            back = f"{folder}/back-{revision}"
            hf(env, "download", "acme/pushed", "--revision", revision, "--local-dir", back)
            same(back, out)
        status, out_rows, err = call(env, os.environ.get("WREG", "wreg"), "ingest", "hf://acme/pushed", "--name", "back")
        assert status == 0, err
        before = hub.ask("stats")["cdn"]["requests"]
        status, _, err = push(env, out, "hf://acme/pushed")
        assert status == 0 and "there already" in err, err
        hf(env, "upload", "acme/pushed", out, ".")
        assert hub.ask("stats")["cdn"]["requests"] == before, "what is there was sent again"
        assert hub.ask("stats")["token_leaks"] == 0


def check_taken_from_hf(folder, wreg):
    """What hf uploaded is there for wreg: it sends no shard again."""
    out = export(folder, wreg)
    with Hub(f"{folder}/root") as hub:
        env = environment(folder, hub)
        hf(env, "upload", "acme/theirs", out, ".")
        puts = hub.ask("stats")["cdn"]["requests"]
        status, _, err = push(env, out, "hf://acme/theirs")
        assert status == 0, err
        assert hub.ask("stats")["cdn"]["requests"] == puts


def strike(folder, out, fault, good):
    name = "".join(c if c.isalnum() else "-" for c in fault)
    start = time.time()
    with Hub(f"{folder}/{name}.root", fault) as hub:
        env = environment(f"{folder}/{name}", hub)
        status, _, err = push(env, out, "hf://acme/pushed")
        took, leaks = time.time() - start, hub.ask("stats")["token_leaks"]
        hub.faults()
        there = Path(f"{folder}/{name}.root/acme/pushed/config.json").exists()
        if status == 0:
            hf(env, "download", "acme/pushed", "--local-dir", f"{folder}/{name}.back")
            same(f"{folder}/{name}.back", out)
        assert took < LIMIT and not leaks, f"{fault}: {took:.0f} s, {leaks} leaks"
        assert (status == 0) if good else (status == 2 and len(err.strip().splitlines()) == 1 and "panic" not in err), f"{fault}: status {status}: {err}"
        assert there == (status == 0), f"{fault}: status {status}, visible: {there}"


def check_killed_export(folder, wreg, source):
    """An export to the hub, from the disk or from the hub, that is killed again and again ends with the files of a local one; parts that had arrived were not sent again."""
    lies = f"{folder}/root/acme/source"
    wreg("synth", "--arch", "hunyuan", "--hidden", "128", "--shard-bytes", "400000", "--out", lies)
    options = ["--target", "mlx", "--max-shard-size", "300KiB"]
    wreg("export", lies, *options, "--out", f"{folder}/mlx", "--no-register")
    os.mkdir(f"{folder}/here")
    with Hub(f"{folder}/root", "", "--latency", "20") as hub:
        env = environment(folder, hub)
        command = [os.environ.get("WREG", "wreg"), "export", lies if source == "disk" else "hf://acme/source", *options, "--out", "hf://acme/made", "--no-register", "--quiet"]
        kills, patience = 0, 0.3
        while True:
            p = subprocess.Popen([*command, "--resume"], env=env, cwd=f"{folder}/here", stderr=subprocess.PIPE, text=True)
            try:
                _, err = p.communicate(timeout=patience)
                break
            except subprocess.TimeoutExpired:
                p.kill()
                p.communicate()
                kills, patience = kills + 1, patience * 1.15
        assert p.returncode == 0, err
        assert not os.listdir(f"{folder}/here"), os.listdir(f"{folder}/here")
        hf(env, "download", "acme/made", "--local-dir", f"{folder}/back")
        if source == "hub":  # whose receipt names it
            os.replace(f"{folder}/back/wreg-receipt.json", f"{folder}/mlx/wreg-receipt.json")
            os.link(f"{folder}/mlx/wreg-receipt.json", f"{folder}/back/wreg-receipt.json")
        same(f"{folder}/back", f"{folder}/mlx")
        puts = [e["url"] for e in hub.ask("log") if e["method"] == "PUT" and e["status"] == 200]
        parts = [path.split("?")[0].split("/") for path in puts]
        twice = len(parts) - len({(p[2], p[-1] if len(p) > 3 else "") for p in parts})
        print(f"{kills} kills, {len(parts)} parts arrived, {twice} of them twice", flush=True)
        assert kills >= 3, f"only {kills} kills: it is over too soon"
        assert twice <= 8 * kills, f"{twice} parts were sent twice in {kills} kills; four are on their way at once"


check_killed_export.cases = ["disk", "hub"]


def check_faults(folder, wreg):
    """Whatever the hub does while it is sent to: all of it arrives, or one sentence says why nothing did; the token stays with the hub."""
    out = export(folder, wreg)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(strike, folder, out, fault, good) for fault, good in FAULTS.items()]:
            result.result()
