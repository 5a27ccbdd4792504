"""make dist: static binaries for every system, wheels, an SBOM of each binary, the manual's pages, and SHA256SUMS.

    python dist.py OUT [GOOS/GOARCH...]

An SBOM (CycloneDX 1.6) is what the go command recorded in the binary: the modules that are in it, no other. It
has no date and no serial number: the same sources and Go give the same bytes of everything here."""
import gzip
import hashlib
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import wheels

PLATFORMS = [f"{os}/{arch}" for os in ("linux", "darwin", "windows", "freebsd") for arch in ("amd64", "arm64")]


def sbom(binary, name):
    """What is in a binary, by its own build info."""
    lines = subprocess.run(["go", "version", "-m", binary], check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split("\t")[1:] for line in lines[1:]]
    parts = [("std", lines[0].split(": go")[-1].split()[0], None)]
    for kind, *row in rows:
        if kind == "=>":  # the module before is replaced by this one
            parts.pop()
        if kind in ("dep", "=>"):
            parts.append((row + [None])[:3])
    component = lambda kind, name, version: {"type": kind, "bom-ref": f"pkg:golang/{name}@{version}", "name": name, "version": version,
                                             "purl": f"pkg:golang/{name}@{version}"}
    program = component("application", "wreg", wheels.version())
    program["hashes"] = [{"alg": "SHA-256", "content": sha256(binary)}]
    program["properties"] = [{"name": "file", "value": name}] + [
        {"name": "go:build:" + key, "value": value} for kind, setting, *_ in rows if kind == "build" for key, value in [setting.split("=", 1)]]
    components = [component("library", name, version) | ({"properties": [{"name": "go:sum", "value": sum}]} if sum else {})
                  for name, version, sum in parts]
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": program}, "components": components,
            "dependencies": [{"ref": program["bom-ref"], "dependsOn": [c["bom-ref"] for c in components]}]}


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def manual(out):
    """The manual's pages, as one archive that unpacks to man1/*.1."""
    with tempfile.TemporaryDirectory() as dir:
        subprocess.run(["go", "run", "./cmd/wreg", "man", f"{dir}/man1", "--quiet"], check=True, cwd=wheels.ROOT)
        path = out / f"wreg-{wheels.version()}-man.tar.gz"
        with open(path, "wb") as f, gzip.GzipFile("", "wb", fileobj=f, mtime=0) as z, tarfile.open(fileobj=z, mode="w") as t:
            for page in sorted(pathlib.Path(dir, "man1").iterdir()):
                info = tarfile.TarInfo(f"man1/{page.name}")
                info.size, info.mode = page.stat().st_size, 0o644
                with page.open("rb") as text:
                    t.addfile(info, text)
    return path


def main(out, *platforms):
    out = pathlib.Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        if old.name.startswith("wreg-"):
            old.unlink()
    for platform in platforms or PLATFORMS:
        goos, goarch = platform.split("/")
        binary = out / (f"wreg-{wheels.version()}-{goos}-{goarch}" + (".exe" if goos == "windows" else ""))
        wheels.compile(binary, goos, goarch)
        (out / f"{binary.name}.cdx.json").write_text(json.dumps(sbom(binary, binary.name), indent=1) + "\n")
        made = [binary] + ([wheels.make(out, binary, goos, goarch)] if (goos, goarch) in wheels.TAGS else [])
        for path in made:
            print(f"{path.stat().st_size:>10}  {path.name}", flush=True)
    path = manual(out)
    print(f"{path.stat().st_size:>10}  {path.name}", flush=True)
    sums = "".join(f"{sha256(p)}  {p.name}\n" for p in sorted(out.iterdir()) if p.name.startswith("wreg-"))
    (out / "SHA256SUMS").write_text(sums)


if __name__ == "__main__":
    main(*sys.argv[1:])
