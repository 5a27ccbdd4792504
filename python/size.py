"""How large a static binary is, and what of it is whose:  python size.py

It fails where the table of docs/architecture.md lacks a module, or is more than a tenth and 20 KB off.

Sums are of named code and data. What has no name of its own (tables for stack traces, strings, embedded files) is
one line: most of it grows with the code."""
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import wheels


def main():
    with tempfile.TemporaryDirectory() as folder:
        stripped, full = os.path.join(folder, "wreg"), os.path.join(folder, "full")
        wheels.compile(stripped, "linux", "amd64")
        total = os.path.getsize(stripped)
        subprocess.run(["go", "build", "-trimpath", "-o", full, "./cmd/wreg"], cwd=wheels.ROOT, check=True,
                       env=dict(os.environ, CGO_ENABLED="0", GOOS="linux", GOARCH="amd64"))
        about = subprocess.run(["go", "version", "-m", full], check=True, capture_output=True, text=True).stdout
        symbols = subprocess.run(["go", "tool", "nm", "-size", full], check=True, capture_output=True, text=True).stdout
    modules = ["wreg", *(line.split("\t")[2] for line in about.splitlines() if line.startswith("\tdep\t"))]
    sums = collections.Counter()
    seen = set()
    for line in symbols.splitlines():
        address, size, kind, *name = line.split(None, 3)
        if kind in "TtRrDd" and address not in seen and int(size) < total:  # larger ones are zeros, which a file need not hold
            seen.add(address)
            sums[owner(name[0] if name else "", modules)] += int(size)
    sums["tables, strings, embedded files"] = total - sum(sums.values())
    print(f"{total:>10}  static, stripped, linux/amd64")
    for name, size in sums.most_common():
        print(f"{size:>10}  {name}")
    sys.exit("\n".join(stale(total, sums, (wheels.ROOT / "docs/architecture.md").read_text())) or None)


def stale(total, sums, page):
    """What the page says of the sizes and is not so."""
    left = {re.sub(r"/v\d+$", "", name).split("/")[-1]: size for name, size in sums.items()}
    said = re.search(r"Of ([\d.]+) MB:\n\n\| what \| KB \| for \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", page)
    rows = [("the binary", round(float(said[1]) * 1e6), total)]
    for line in said[2].splitlines():
        what, kb = line.split("|")[1:3]
        names = [what.strip()] if what.strip() in left else what.strip().split(", ")
        rows.append((what.strip(), int(kb.replace(",", "")) * 1000, sum(left.pop(n, 0) for n in names)))
    faults = [f"docs/architecture.md: {what} takes {now // 1000} KB, not {then // 1000}" for what, then, now in rows if abs(now - then) > max(then / 10, 20_000)]
    return faults + [f"docs/architecture.md: no row for {name}, {size // 1000} KB" for name, size in left.items()]


def owner(symbol, modules):
    symbol = symbol.removeprefix("go:itab.").removeprefix("type:").lstrip("*").replace("%2e", ".")
    for module in modules:
        if symbol.startswith(module) and symbol[len(module):len(module) + 1] in ("/", "."):
            return module
    if symbol.startswith("main."):
        return "wreg"
    return "tables, strings, embedded files" if symbol.startswith("go:") or symbol == "runtime.findfunctab" else "Go's own packages"


if __name__ == "__main__":
    main()
