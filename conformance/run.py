"""Asks the real consumers about wreg: python conformance/run.py [FILTER...]

Every function named check_* in the modules below is one check, given a fresh
folder and a wreg to call. The last line counts: N passed, N failed. Nothing is
skipped; a check that cannot run has failed."""
import os
import subprocess
import sys
import tempfile
import time
import traceback

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


class Wreg:
    """The built binary with a registry of its own."""

    def __init__(self, folder):
        self.env = dict(os.environ, WREG_REGISTRY=f"{folder}/registry.db", WREG_PYTHON=sys.executable)

    def __call__(self, *args, status=0):
        p = subprocess.run([os.environ.get("WREG", "wreg"), *args], env=self.env, capture_output=True, text=True)
        if p.returncode != status:
            raise AssertionError(f"wreg {' '.join(args)}: exit status {p.returncode}, want {status}\n{p.stdout}{p.stderr}")
        return p.stdout


def checks():
    import architectures
    import convert
    import formats
    import ggufs
    import oci
    import pages
    import pickles
    import pushes
    import queries
    import remotes
    import s3
    import shells
    import values
    for module in (convert, formats, ggufs, oci, pages, pickles, pushes, queries, remotes, s3, shells, values, architectures):
        for name, fn in list(vars(module).items()):
            if name.startswith("check_"):
                for case in getattr(fn, "cases", [None]):
                    label = f"{module.__name__}.{name[6:]}" + (f"[{case}]" if case else "")
                    yield label, fn, [case] if case else []


def main(filters):
    passed = failed = 0
    for label, fn, args in checks():
        if filters and not any(f in label for f in filters):
            continue
        start = time.time()
        with tempfile.TemporaryDirectory(prefix="wreg-conformance-") as folder:
            try:
                fn(folder, Wreg(folder), *args)
                passed += 1
                print(f"ok    {label} ({time.time() - start:.1f} s)", flush=True)
            except (Exception, SystemExit):
                failed += 1
                print(f"FAIL  {label}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
