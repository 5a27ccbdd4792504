"""A hub that misbehaves: whatever it does, wreg is right or refuses, in time, and its token stays with the hub.

python conformance/remotes.py [--client PROGRAM] [FILTER...] prints a line for each fault and deed. PROGRAM is run as
PROGRAM ENDPOINT ORG/NAME TOKEN in place of wreg. WREG is the wreg to run. --olah puts olah, a mirror, between wreg and the
hub: pip install olah==0.5.4 beside the Python that runs this. It is no check, since olah at times does not answer."""
import argparse
import concurrent.futures
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
TOKEN, REPO, LIMIT = "hf_a-token-that-nobody-else-may-see", "acme/tiny", 60

# Kinds that strike every request, and the same for a while: then it must be right.
ALWAYS = ("short", "reset", "stall", "slow", "drop", "hang", "wrong-range", "lying-range", "wrong-total", "full200", "multipart", "gzip", "gzip206",
          "chunked", "s429", "s429:secs=300", "s429date", "s500", "s502", "s503", "s504", "s503:secs=90", "s403", "s404", "html", "badjson", "loop",
          "offhost", "offhost-bad", "expired", "changed:skip=2", "changed-silent:skip=2", "changed-silent", "pointer", "noetag", "nocommit", "nolength",
          "norangehdr", "size", "size:kind=resolve", "huge", "hostile-names", "pageloop", "wrongcommit")
PASSING = ("short", "reset", "stall", "drop", "hang", "wrong-range", "full200", "multipart", "gzip", "gzip206", "s429", "s429date", "s500", "s502", "s503",
           "s504", "html:port=cdn", "badjson", "expired")
FAULTS = [*ALWAYS, *(f + ("," if ":" in f else ":") + "first=2" for f in PASSING),
          *(f"{f}:port=cdn" for f in ("short", "reset", "drop", "stall", "s503", "s404", "lying-range", "slow")),
          *(f"{f}:p=0.3" for f in ("drop", "reset", "short", "s503", "full200"))]
# What does no harm, or passes: anything but success is a failure there.
HARMLESS = ("chunked", "noetag", "nocommit", "nolength", "norangehdr", "offhost")


# Exit statuses of a refusal: an export of bytes that are not those declared has found something.
REFUSALS = {"ingest": (2,), "export": (1, 2), "resume": (1, 2)}


def must_succeed(fault):
    return not fault or fault in HARMLESS or fault.endswith("first=2") and "stall" not in fault


class Hub:
    """hub.py on free ports, with one fault."""

    def __init__(self, root, fault, page):
        args = ["--root", root, "--token", TOKEN, "--gated", REPO, "--page", str(page)]
        self.process, self.endpoint, self.ports = started(args + (["--fault", fault] if fault else []))

    def ask(self, what, method="GET", body=None):
        r = urllib.request.Request(f"{self.endpoint}/_test/{what}", method=method, data=body)
        with urllib.request.urlopen(r, timeout=30) as f:
            return json.load(f)

    def stats(self):
        return self.ask("stats")

    def faults(self, *specs):
        self.ask("faults", "PUT", json.dumps(specs).encode())

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.process.kill()
        self.process.wait()


def started(args, tries=5):
    """hub.py on free ports: its process, its endpoint and the ports. A port that was free may be taken meanwhile: then others."""
    for _ in range(tries):
        ports = free_ports(3)
        flags = [x for flag, port in zip(("--port", "--cdn-port", "--evil-port"), ports) for x in (flag, str(port))]
        process = subprocess.Popen([sys.executable, HERE / "hub.py", *args, *flags], stdout=subprocess.PIPE, text=True)
        if endpoint := process.stdout.readline().strip().partition("=")[2]:
            return process, endpoint, ports
        process.wait()
    raise AssertionError("hub.py did not start")


def free_ports(n):
    import socket
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def made(root):
    """Two shards that are read by ranges, and one small enough to be read whole."""
    subprocess.run([os.environ.get("WREG", "wreg"), "synth", "--quiet", "--arch", "llama", "--hidden", "96", "--vocab", "4096", "--shard-bytes", "870000",
                    "--out", f"{root}/{REPO}"], check=True)
    sizes = sorted(p.stat().st_size for p in Path(f"{root}/{REPO}").glob("*.safetensors"))
    assert sizes[0] < 128 << 10 < sizes[1], sizes
    return f"{root}/{REPO}"


class Deeds:
    """What is done with a model, and what it must come to."""

    def __init__(self, local, folder, deeds, client=None):
        self.local, self.folder, self.client = local, folder, client
        self.want = {} if client else {"rows": self.rows(local, "want")}
        if not client and {"export", "resume"} & set(deeds):
            self.want["export"] = self.export(local, "want")

    def wreg(self, name, *args, endpoint="", kill_after=None):
        env = dict(os.environ, WREG_REGISTRY=f"{self.folder}/{name}.db", HF_ENDPOINT=endpoint, HF_TOKEN=TOKEN, XDG_CACHE_HOME=f"{self.folder}/{name}.cache",
                   HF_HOME=f"{self.folder}/{name}.hf")
        env.pop("HF_HUB_OFFLINE", None)
        p = subprocess.Popen([os.environ.get("WREG", "wreg"), *args], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = p.communicate(timeout=kill_after or 2 * LIMIT)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL)
            out, err = p.communicate()
            if not kill_after:
                err += "\nhangs"
        return p.returncode, out, err

    def check(self, result, well=(0, 1)):
        if result[0] not in well:
            raise Refused(result)
        return result[1]

    def rows(self, source, name, endpoint=""):
        self.check(self.wreg(name, "ingest", source, "--name", "m", endpoint=endpoint))
        return json.loads(self.check(self.wreg(name, "query", "find * in m select path, dtype, shape, bytes", "--format", "json")))["rows"]

    def export(self, source, name, endpoint="", resume=False):
        out = f"{self.folder}/{name}.out"
        args = ["export", source, "--target", "mlx", "--out", out]
        if resume:
            self.wreg(name, *args, endpoint=endpoint, kill_after=0.3)
            args.append("--resume")
        if not os.path.exists(out):  # killed too late
            self.check(self.wreg(name, *args, endpoint=endpoint), (0,))
        return out

    def do(self, deed, fault, hub, name):
        if deed != "ingest":  # what an export reads is struck, and the listing; headers are remembered
            self.check(self.wreg(name, "ingest", f"hf://{REPO}", endpoint=hub.endpoint))
            hub.faults(*([fault] if fault else []))
        if self.client:
            p = subprocess.run([self.client, hub.endpoint, REPO, TOKEN], capture_output=True, text=True, timeout=2 * LIMIT)
            if p.returncode:
                raise Refused((p.returncode, p.stdout, p.stderr or p.stdout))
        elif deed == "ingest":
            assert self.rows(f"hf://{REPO}", name, hub.endpoint) == self.want["rows"], "other rows than the folder's"
        else:
            got = self.export(f"hf://{REPO}", name, hub.endpoint, resume=deed == "resume")
            same_files(got, self.want["export"])


class Refused(Exception):
    def __str__(self):
        status, _, err = self.args[0]
        return f"status {status}: {err.strip().splitlines()[-1] if err.strip() else 'nothing is said'}"


def same_files(got, want):
    names = sorted(n for n in os.listdir(want) if n != "wreg-receipt.json")
    assert names == sorted(n for n in os.listdir(got) if n != "wreg-receipt.json"), f"{os.listdir(got)} against {names}"
    wrong = filecmp.cmpfiles(got, want, names, shallow=False)[1:]
    assert not any(wrong), f"files differ: {wrong}"


def strike(deeds, fault, deed):
    """One fault against one deed: the verdict, whether it will do, and the seconds it took."""
    page = 3 if fault.startswith(("pageloop", "huge", "hostile")) else 1000
    with Hub(Path(deeds.local).parent.parent, fault if deed == "ingest" else "", page) as hub:
        start, fine = time.time(), True
        try:
            deeds.do(deed, fault, hub, "".join(c if c.isalnum() else "-" for c in f"{deed}-{fault}"))
            verdict = "right"
        except Refused as e:
            verdict = f"refused: {e}"
            fine = not must_succeed(fault) and e.args[0][0] in REFUSALS[deed] and bool(e.args[0][2].strip()) and "panic" not in e.args[0][2]
        except Exception as e:
            verdict, fine = f"WRONG: {e!r}", False
        took, leaks = time.time() - start, hub.stats()["token_leaks"]
        return verdict, fine and took < LIMIT and not leaks, took, leaks


def run(folder, deed, faults, client=None, say=print):
    deeds = Deeds(made(f"{folder}/root"), folder, [deed], client)
    faults, bad = ["", *faults], []  # without any it must succeed, or no refusal says anything
    faults.sort(key=lambda f: not f.startswith(("stall", "hang", "slow")))  # which take longest
    with concurrent.futures.ThreadPoolExecutor(24) as pool:  # most of them wait
        for fault, (verdict, fine, took, leaks) in zip(faults, pool.map(lambda f: strike(deeds, f, deed), faults)):
            line = f"{'ok  ' if fine else 'FAIL'} {deed:7} {fault or 'none':28} {took:5.1f} s  leaks {leaks}  {verdict}"
            say(line, flush=True)
            if not fine:
                bad.append(line)
    return bad


def check_faults(folder, wreg, deed):
    bad = run(folder, deed, FAULTS)
    assert not bad, "\n".join(bad)


check_faults.cases = ["ingest"]

# Those of which an export is done with in seconds, whatever else CI waits for; the others are for
# python conformance/remotes.py --deed export --deed resume.
QUICK = ("wrong-range", "lying-range", "wrong-total", "full200", "multipart", "gzip206", "chunked", "s404", "offhost", "offhost-bad", "expired",
         "changed:skip=2", "changed-silent:skip=2", "pointer", "noetag", "nocommit", "size", "wrongcommit", "hostile-names",
         *(f + ",first=2" for f in ("short:port=cdn", "reset:port=cdn", "drop:port=cdn", "s503:port=cdn", "expired:port=cdn")), "full200:p=0.3")


def check_exports(folder, wreg, deed):
    bad = run(folder, deed, QUICK)
    assert not bad, "\n".join(bad)


check_exports.cases = ["export", "resume"]


class Olah:
    """olah, a mirror, in front of a hub."""

    def __init__(self, hub, folder):
        port, hub_port, cdn_port = free_ports(1)[0], *hub.ports[:2]
        at = f"127.0.0.1:{port}"
        self.endpoint = f"http://{at}"
        os.makedirs(folder)
        self.process = subprocess.Popen(
            [Path(sys.executable).parent / "olah-cli", "--host", "127.0.0.1", "--port", str(port), "--hf-scheme", "http", "--hf-netloc", f"127.0.0.1:{hub_port}",
             "--hf-lfs-netloc", f"127.0.0.1:{cdn_port}", "--mirror-scheme", "http", "--mirror-netloc", at, "--mirror-lfs-netloc", at, "--repos-path", "repos", "--log-path", "log"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"})
        for _ in range(600):
            try:
                urllib.request.urlopen(self.endpoint, timeout=5).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                assert self.process.poll() is None, "olah did not start"
                time.sleep(0.1)
        raise AssertionError("olah does not answer")

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.process.kill()
        self.process.wait()


def through_olah(folder):
    """What a mirror makes of the hub is right, or refused."""
    deeds = Deeds(made(f"{folder}/root"), folder, ["ingest"])

    def through(fault):
        name = "olah-" + "".join(c if c.isalnum() else "-" for c in fault)
        with Hub(f"{folder}/root", fault, 1000) as hub, Olah(hub, f"{folder}/{name}") as mirror:
            try:
                got = deeds.rows(f"hf://{REPO}", name, mirror.endpoint)
            except Refused as e:
                assert fault and e.args[0][0] == 2 and e.args[0][2].strip(), f"{fault}: {e}"
                got = None
            assert got in (None, deeds.want["rows"]), f"{fault}: other rows than the folder's"
            stats = hub.stats()
            verdict = "right" if got else "refused"
            assert stats["token_leaks"] == 0 and stats["cdn"]["requests"] + stats["evil"]["requests"], f"{fault}: {stats}"
            return verdict
    for fault in ("", "lying-range:port=cdn", "changed-silent:port=cdn,skip=1", "short:port=cdn,first=2", "offhost", "nocommit"):
        print(f"{through(fault):7} {fault or 'none'}", flush=True)


if __name__ == "__main__":
    a = argparse.ArgumentParser()
    a.add_argument("--client")
    a.add_argument("--olah", action="store_true")
    a.add_argument("--deed", action="append", choices=("ingest", "export", "resume"))
    a.add_argument("filter", nargs="*")
    o = a.parse_args()
    failed = 0
    for deed in o.deed or ["ingest"]:
        folder = tempfile.mkdtemp(prefix="wreg-remotes-")
        try:
            if o.olah:
                through_olah(folder)
                continue
            failed += len(run(folder, deed, [f for f in FAULTS if not o.filter or any(x in f for x in o.filter)], o.client))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(f"{failed} failed" if failed else 0)
