"""Export against cp and mlx_lm.convert, side by side: python bench/export.py [--rounds N] [--dir DIR] [--mlx]

Makes a HunYuan-like checkpoint of 2.3 GiB, exports it in each way, and prints the ratio of the best times of N
rounds in which all candidates take turns. User and system CPU are those of the best round. DIR needs 8 GiB free."""
import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

SYNTH = ["synth", "--arch", "hunyuan", "--layers", "8", "--experts", "16", "--hidden", "1024", "--vocab", "32000",
         "--set", "intermediate_size=2816", "--set", "num_attention_heads=16", "--set", "num_key_value_heads=4",
         "--dtype", "bf16", "--shard-bytes", "1000000000"]


class Timer:
    """Runs commands and keeps the best wall time of each name, with its CPU times and its peak memory."""

    def __init__(self, env):
        self.env, self.best = env, {}

    def __call__(self, name, command, output):
        shutil.rmtree(output, ignore_errors=True)
        os.sync()
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        # A shell of its own, so that the peak is this command's and not an earlier child's.
        p = subprocess.Popen(command, shell=isinstance(command, str), env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _, errors = p.communicate()
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if p.returncode != 0:
            sys.exit(f"{name}: exit status {p.returncode}\n{errors.decode()}")
        took = wall, after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
        self.best[name] = min(self.best.get(name, took), took)
        shutil.rmtree(output, ignore_errors=True)

    def ratio(self, name, against, bound, better="at most"):
        (wall, user, system), (base, _, _) = self.best[name], self.best[against]
        value = wall / base if better == "at most" else base / wall
        met = value <= bound if better == "at most" else value >= bound
        print(f"export\t{name} / {against}\t{value:.2f}\t{better} {bound}\t{'met' if met else 'NOT MET'}\t"
              f"user {user:.2f} s system {system:.2f} s", flush=True)
        return met


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir")
    parser.add_argument("--mlx", action="store_true", help="race mlx_lm.convert as well")
    o = parser.parse_args()
    wreg = os.environ.get("WREG", "wreg")
    with tempfile.TemporaryDirectory(prefix="wreg-bench-", dir=o.dir) as d:
        src, out, copy = f"{d}/hunyuan", f"{d}/out", f"{d}/copy"
        env = dict(os.environ, WREG_REGISTRY=f"{d}/registry.db", HF_HUB_OFFLINE="1")
        for args in ([*SYNTH, "--out", src], ["ingest", src, "--name", "m"]):
            subprocess.run([wreg, *args], env=env, check=True, stdout=subprocess.DEVNULL)
        export = [wreg, "export", "m", "--out", out, "--no-register"]
        convert = [sys.executable, "-m", "mlx_lm", "convert", "--hf-path", src, "--mlx-path", out]
        t = Timer(env)
        for _ in range(o.rounds):
            t("cp", ["cp", "-r", src, copy], copy)
            t("unquantized, no sync", [*export, "--no-sync"], out)
            t("cp and sync", f"cp -r '{src}' '{copy}' && sync", copy)
            t("unquantized", export, out)
            t("sha256, no sync", [*export, "--no-sync", "--prove", "sha256"], out)
            t("hashing twice", f"for f in '{src}'/*.safetensors '{src}'/*.safetensors; do openssl dgst -sha256 \"$f\" & done; wait", copy)
            t("4 bits", [*export, "--no-sync", "-q"], out)
        if o.mlx:  # minutes: once is enough to see a factor of fifteen
            t("mlx_lm.convert", convert, out)
            t("mlx_lm.convert -q", [*convert, "-q"], out)
        met = [t.ratio("unquantized, no sync", "cp", 1.0), t.ratio("unquantized", "cp and sync", 1.1),
               t.ratio("sha256, no sync", "hashing twice", 1.2)]
        if o.mlx:
            met += [t.ratio("unquantized, no sync", "mlx_lm.convert", 15, "at least"), t.ratio("4 bits", "mlx_lm.convert -q", 5, "at least")]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
