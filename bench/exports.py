"""Writing checkpoints."""
import glob
import json
import os
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))
import remotes  # noqa: E402: the hub is there
from run import GIB, WREG, goal, large, line, remove, run, turns

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
BIG = 12  # GiB, of the checkpoint that BENCH_BIG=1 adds

CONVERT = """
import sys
from mlx_lm import convert
convert(sys.argv[1], sys.argv[2], quantize=len(sys.argv) > 3)
"""

# What proving every byte with SHA-256 as it is read and as it is read back must
# cost at least: all cores hash twice as many bytes, from a buffer in the cache.
HASH_TWICE = """
import hashlib, os, sys, threading
block, cores = bytes(1 << 20), os.cpu_count()
def work():
    h = hashlib.sha256()
    for _ in range((2 * int(sys.argv[1]) >> 20) // cores):
        h.update(block)
threads = [threading.Thread(target=work) for _ in range(cores)]
for t in threads: t.start()
for t in threads: t.join()
"""


def exported(model, out, *flags, env=None):
    return lambda: run(WREG, "export", model, "--out", out, "--no-register", *flags, env=env)


def weights(path):
    return sum(map(os.path.getsize, glob.glob(f"{path}/*.safetensors")))


def bench_export(folder):
    """export: a large checkpoint, everything checked and read back, in turns with cp, a bare writer, SHA-256 and mlx_lm.convert"""
    path, out = large(folder), f"{folder}/out"
    size = weights(path)
    t = turns(ROUNDS, {
        "cp": lambda: run("cp", "-r", path, out),
        "wreg": exported("large", out, "--no-sync"),
        # Not by 1 MiB: the page cache may take five times as long to find pages that large.
        "write": lambda: run("sh", "-c", f"fallocate -l {size} {out} && dd if=/dev/zero of={out} bs=512K count={size >> 19} conv=notrunc"),
        "sha": exported("large", out, "--no-sync", "--prove", "sha256"),
        "hash": lambda: run(sys.executable, "-c", HASH_TWICE, str(size)),
        "cp, sync": lambda: run("sh", "-c", f"cp -r {path} {out} && sync {out}/* {out}"),
        "wreg, sync": exported("large", out),
        "mlx": lambda: run(sys.executable, "-c", CONVERT, path, out),
        "wreg -q": exported("large", out, "--no-sync", "-q"),
        "mlx -q": lambda: run(sys.executable, "-c", CONVERT, path, out, "-q"),
    }, lambda: remove(out))
    line("wreg export --no-sync / cp -r", t["wreg"], t["cp"], most=1.0)
    line("wreg export --no-sync / dd of as many zeros to one ready file", t["wreg"], t["write"])
    line("wreg export / cp -r and sync", t["wreg, sync"], t["cp, sync"], most=1.1)
    line("wreg export --no-sync --prove sha256 / SHA-256 twice, all cores", t["sha"], t["hash"], most=1.2)
    line("mlx_lm.convert / wreg export --no-sync", t["mlx"], t["wreg"], least=15)
    line("mlx_lm.convert / dd of as many zeros to one ready file", t["mlx"], t["write"])
    line("mlx_lm.convert -q / wreg export --no-sync -q", t["mlx -q"], t["wreg -q"], least=5)


def bench_cast(folder):
    """export --dtype float16: what casting every weight costs, and what assembly saves"""
    large(folder)
    out = f"{folder}/out"
    cast = ["--no-sync", "--dtype", "float16"]
    t = turns(ROUNDS, {
        "copy": exported("large", out, "--no-sync"),
        "cast": exported("large", out, *cast),
        "plain": exported("large", out, *cast, env={"WREG_NOASM": "1"}),
        "-q": exported("large", out, "--no-sync", "-q"),
        "plain -q": exported("large", out, "--no-sync", "-q", env={"WREG_NOASM": "1"}),
    }, lambda: remove(out))
    line("wreg export --dtype float16 / wreg export", t["cast"], t["copy"])
    line("wreg export --dtype float16 without assembly / with", t["plain"], t["cast"])
    line("wreg export -q without assembly / with", t["plain -q"], t["-q"])


def fp8(folder):
    """A DeepSeek-V3-like checkpoint of about GIB once it is bf16, its matrices fp8 with block scales."""
    import numpy as np
    out = f"{folder}/fp8"
    if os.path.exists(out):
        return out
    layers = max(1, round(GIB * 8))
    run(WREG, "synth", "--arch", "deepseek_v3", "--layers", str(layers + 1), "--experts", "16", "--hidden", "1024", "--vocab", "4096",
        "--set", "moe_intermediate_size=2688", "--set", "intermediate_size=2688", "--set", "num_nextn_predict_layers=0", "--out", out)
    rng, block = np.random.default_rng(0), 128
    codes = rng.integers(0, 127, 64 << 20, dtype=np.uint8) | rng.integers(0, 2, 64 << 20, dtype=np.uint8) << 7  # no NaN
    for path in glob.glob(f"{out}/*.safetensors"):
        with open(path, "rb") as f:
            old = json.loads(f.read(int.from_bytes(f.read(8), "little")))
            base, header, parts, at = f.tell(), {}, [], 0
            def add(name, dtype, shape, data):
                nonlocal at
                header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
                parts.append(data)
                at += len(data)
            for name, t in old.items():
                if name == "__metadata__":
                    continue
                if re.search(r"\.layers\..*_proj\.weight$", name) and "kv_a_proj" not in name:
                    rows, cols = t["shape"]
                    grid = [-(-rows // block), -(-cols // block)]
                    add(name, "F8_E4M3", [rows, cols], codes[:rows * cols].tobytes())
                    add(name + "_scale_inv", "F32", grid, (rng.random(grid, dtype=np.float32) * 0.001 + 0.001).tobytes())
                else:
                    begin, end = t["data_offsets"]
                    f.seek(base + begin)
                    add(name, t["dtype"], t["shape"], f.read(end - begin))
        text = json.dumps(header).encode()
        with open(path, "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text)
            f.writelines(parts)
    index = f"{out}/model.safetensors.index.json"
    if os.path.exists(index):
        os.remove(index)
    with open(f"{out}/config.json") as f:
        config = json.load(f)
    config["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [block, block]}
    with open(f"{out}/config.json", "w") as f:
        json.dump(config, f)
    run(WREG, "ingest", out, "--name", "fp8")
    return out


def bench_fp8(folder):
    """export of fp8 with block scales as bf16: bytes of bf16 for each second of a core"""
    steps = subprocess.run(["go", "test", "./export/compute", "-run", "^$", "-bench", "Steps/fp8", "-cpu", "1"], check=True, text=True, capture_output=True).stdout
    goal("the step alone, GB/s of one core", float(re.search(r"([\d.]+) MB/s", steps)[1]) / 1e3, least=1)
    fp8(folder)
    out = f"{folder}/out"
    size = []
    def export():
        took = exported("fp8", out, "--no-sync")()
        size.append(weights(out))
        return took
    t = turns(ROUNDS, {"asm": export, "plain": exported("fp8", out, "--no-sync", env={"WREG_NOASM": "1"})}, lambda: remove(out))
    goal("read, made, written, read back, proven, GB/s of one core", size[0] / 1e9 / t["asm"].cpu, least=1)
    line("the same without assembly / with", t["plain"], t["asm"])


def peak(*args):
    """The most memory a command held, MiB: VmHWM, asked for while it runs. What wait4 tells is never less than Python's own."""
    p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    def look():
        nonlocal most
        while p.returncode is None:
            try:
                with open(f"/proc/{p.pid}/status") as f:
                    m = re.search(r"VmHWM:\s+(\d+) kB", f.read())
                if m and os.path.samefile(f"/proc/{p.pid}/exe", args[0]):  # before exec it is still Python
                    most = int(m[1]) / 1024
            except OSError:
                return
            time.sleep(0.01)
    eye = threading.Thread(target=look)
    eye.start()
    if p.wait():
        raise SystemExit(f"{' '.join(args)}: exit status {p.returncode}")
    eye.join()
    if not most:
        raise SystemExit(f"{' '.join(args)}: was over before its memory was seen")
    return most


def bench_memory(folder):
    """export: the most memory, at 2.3 GiB and, with BENCH_BIG=1, at 12 GiB (24 GiB of disk)"""
    out = f"{folder}/out"
    models = [("large", GIB)]
    large(folder)
    if os.environ.get("BENCH_BIG"):
        large(folder, BIG, "big")
        models.append(("big", BIG))
    for model, gib in models:
        for flags in ([], ["-q"], ["--prove", "sha256"], ["--memory", "256MiB"]):
            remove(out)
            most = peak(WREG, "export", model, "--out", out, "--no-register", "--no-sync", *flags)
            goal(f"{gib:g} GiB, wreg export {' '.join(flags)}, MiB", most, most=512)
    remove(out)
    remove(f"{folder}/big")


def bench_elsewhere(folder):
    """export from the hub: 20 ms before each answer, 60 MB/s a connection, in turns with curl, which downloads the same bytes by four connections and does nothing else"""
    root, out = f"{folder}/hub", f"{folder}/out"
    path = large(folder)
    os.makedirs(f"{root}/acme", exist_ok=True)
    if not os.path.lexists(f"{root}/acme/large"):
        os.symlink(path, f"{root}/acme/large")
    names = [os.path.basename(p) for p in sorted(glob.glob(f"{path}/*.safetensors"))]
    ports = [str(port) for port in remotes.free_ports(3)]
    hub = subprocess.Popen([sys.executable, "-u", f"{remotes.HERE}/hub.py", "--root", root, "--latency", "20", "--rate", "60e6", "--port", ports[0],
                            "--cdn-port", ports[1], "--evil-port", ports[2]], stdout=subprocess.PIPE, text=True)
    try:
        env = dict(os.environ, HF_ENDPOINT=hub.stdout.readline().strip().partition("=")[2], XDG_CACHE_HOME=f"{folder}/cache", HF_HOME=f"{folder}/hf")
        urls = [a for n in names for a in ("-o", f"{out}/{n}", f"{env['HF_ENDPOINT']}/acme/large/resolve/main/{n}")]
        run(WREG, "ingest", "hf://acme/large", env=env)  # the hub takes its digests, wreg the headers
        t = turns(min(ROUNDS, 3), {
            "curl": lambda: run("curl", "-sfLZ", "--parallel-max", "4", "--create-dirs", *urls),
            "wreg": exported("hf://acme/large", out, "--no-sync", env=env),
        }, lambda: remove(out))
    finally:
        hub.kill()
        hub.wait()
    line("export hf://, four ranges ahead, against curl -Z", t["wreg"], t["curl"])
    goal("its rate as a part of curl's", t["curl"].wall / t["wreg"].wall, least=0.9)
    goal("most memory that it held, MiB", t["wreg"].mib, most=160)
