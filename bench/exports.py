"""Writing checkpoints."""
import os
import sys

from run import WREG, best, large, line, remove, run

CONVERT = """
import sys
from mlx_lm import convert
convert(sys.argv[1], sys.argv[2], quantize=len(sys.argv) > 3)
"""


def export(folder, *flags):
    out = f"{folder}/out"
    return lambda: run(WREG, "export", "large", "--out", out, *flags)


def bench_export(folder):
    """export: a large checkpoint, everything checked and read back, against cp of the same bytes and mlx_lm.convert"""
    path, out = large(folder), f"{folder}/out"
    clean = lambda: remove(out)
    cp = best(5, lambda: run("cp", "-r", path, out), clean)
    scratch = best(5, export(folder, "--no-sync", "--no-register"), clean)
    line("wreg export --no-sync --no-register / cp -r", scratch, cp, "goal 1.00")
    registered = best(5, export(folder, "--no-sync"), clean)
    line("wreg export --no-sync / cp -r", registered, cp)
    synced = best(3, lambda: run("sh", "-c", f"cp -r {path} {out} && sync {out}/*"), clean)
    safe = best(3, export(folder), clean)
    line("wreg export / cp -r and sync", safe, synced, "goal 1.10")
    sha = best(3, export(folder, "--no-sync", "--no-register", "--prove", "sha256"), clean)
    line("wreg export --prove sha256 / cp -r", sha, cp)
    mlx = best(2, lambda: run(sys.executable, "-c", CONVERT, path, out), clean)
    line("wreg export --no-sync --no-register / mlx_lm.convert", scratch, mlx, "goal 0.067")
    clean()


def bench_quantize(folder):
    """export -q: 4-bit affine against mlx_lm.convert -q"""
    path, out = large(folder), f"{folder}/out"
    clean = lambda: remove(out)
    ours = best(3, export(folder, "-q", "--no-sync", "--no-register"), clean)
    mlx = best(1, lambda: run(sys.executable, "-c", CONVERT, path, out, "-q"), clean)
    line("wreg export -q / mlx_lm.convert -q", ours, mlx, "goal 0.20")
    clean()


def bench_cast(folder):
    """export --dtype float16: what casting every weight costs"""
    large(folder)
    clean = lambda: remove(f"{folder}/out")
    copy = best(3, export(folder, "--no-sync", "--no-register"), clean)
    cast = best(3, export(folder, "--no-sync", "--no-register", "--dtype", "float16"), clean)
    line("wreg export --dtype float16 / wreg export", cast, copy)
    plain = best(3, lambda: run(WREG, "export", "large", "--out", f"{folder}/out", "--no-sync", "--no-register", "--dtype", "float16",
                                env={"WREG_NOASM": "1"}), clean)
    line("wreg export --dtype float16 / the same without assembly", cast, plain)
    clean()
