"""Side-by-side measurements: python bench/run.py [FILTER...]

Every line is a ratio of two programs that did the same work in this run, on this
machine, best of several; bare seconds mean little elsewhere. BENCH_GIB sets the
size of the large checkpoint (default 2.3), BENCH_DIR where it is made, BENCH_ROUNDS
how often the exports take turns (default 5); BENCH_BIG=1 adds one of 12 GiB. Lines
with a goal end in "met" or "NOT MET"."""
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
WREG = os.path.abspath(os.environ.get("WREG", "bin/wreg"))
GIB = float(os.environ.get("BENCH_GIB", "2.3"))


class Run:
    """One finished process: wall and CPU seconds, peak memory in MiB (never less than
    this Python's own, which Linux counts to its children)."""

    def __init__(self, wall, usage):
        self.wall, self.user, self.system, self.mib = wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024
        self.cpu = self.user + self.system


def run(*args, env=None, cwd=None):
    start = time.perf_counter()
    p = subprocess.Popen(args, env=dict(os.environ, **(env or {})), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    err = p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        raise SystemExit(f"{' '.join(args)}: exit status {p.returncode}\n{err.decode()}")
    return Run(time.perf_counter() - start, usage)


def best(times, make, before=None):
    """The quickest of several runs; before is done ahead of each, unmeasured."""
    runs = []
    for _ in range(times):
        if before:
            before()
        runs.append(make())
    return min(runs, key=lambda r: r.wall)


def turns(rounds, runs, clean):
    """The quickest of each of several runs that take turns, there and back again, so
    that what else the machine does, and what the one before left, falls on all alike."""
    times = {name: [] for name in runs}
    for k in range(rounds):
        for name, make in list(runs.items())[:: -1 if k % 2 else 1]:
            clean()
            os.sync()
            times[name].append(make())
    clean()
    return {name: min(found, key=lambda r: r.wall) for name, found in times.items()}


def verdict(value, most=None, least=None):
    if most is None and least is None:
        return ""
    met = value <= most if least is None else value >= least
    return f"   goal {'at most' if least is None else 'at least'} {most if least is None else least}: {'met' if met else 'NOT MET'}"


def line(what, a, b, note="", most=None, least=None):
    """How long a took as a part of b, and what both cost the machine."""
    cost = lambda r: f"{r.user:.2f}+{r.system:.2f}"
    print(f"{what:64} {a.wall / b.wall:6.2f}x   {a.wall:8.3f} s against {b.wall:8.3f} s   cpu (user+system) {cost(a)} s, {cost(b)} s"
          f"   peak {a.mib:.0f}, {b.mib:.0f} MiB   {note}{verdict(a.wall / b.wall, most, least)}", flush=True)


def goal(what, value, most=None, least=None):
    print(f"{what:64} {value:6.2f}{verdict(value, most, least)}", flush=True)


def remove(path):
    if os.path.isfile(path):
        os.remove(path)
    shutil.rmtree(path, ignore_errors=True)


def large(folder, gib=GIB, name="large"):
    """A HunYuan-like bf16 checkpoint of about so many GiB in shards, as the hub has them."""
    out = f"{folder}/{name}"
    if not os.path.exists(out):
        hidden, layers, experts = 1024, 8, 16
        ffn = int(gib * 2**30 / 2 / (layers * (experts + 1) * 3 * hidden)) // 64 * 64
        run(WREG, "synth", "--arch", "hunyuan", "--layers", str(layers), "--experts", str(experts), "--hidden", str(hidden),
            "--vocab", "4096", "--set", f"intermediate_size={ffn}", "--set", "num_attention_heads=16",
            "--set", "num_key_value_heads=4", "--shard-bytes", str(512 << 20), "--out", out)
        run(WREG, "ingest", out)
    return out


def main(filters):
    import exports
    import ingests
    import queries
    import remotes
    folder = os.environ.get("BENCH_DIR") or tempfile.mkdtemp(prefix="wreg-bench-")
    os.makedirs(folder, exist_ok=True)
    os.environ["WREG_REGISTRY"] = f"{folder}/registry.db"
    try:
        for module in (ingests, remotes, exports, queries):
            for name, fn in list(vars(module).items()):
                if name.startswith("bench_") and (not filters or any(f in f"{module.__name__}.{name}" for f in filters)):
                    print(f"\n{fn.__doc__}")
                    fn(folder)
        print("\naccel: one core's rate as a part of copying as many bytes (wreg accel bench)")
        subprocess.run([WREG, "accel", "bench", "--format", "table"], check=True)
    finally:
        if not os.environ.get("BENCH_DIR"):
            remove(folder)


if __name__ == "__main__":
    import run as module  # so that the parts share this module's state
    module.main(sys.argv[1:])
