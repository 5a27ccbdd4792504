"""Wheels that carry the wreg binary, made with Python's standard library alone.

    python wheels.py OUT BINARY GOOS GOARCH     a wheel of a binary that was built

As a build backend (pip install ./python) it builds the binary for this machine with Go. The
same binary gives the same bytes of a wheel. Building needs Python 3.11; the wheels, 3.9."""
import base64
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent

# What pip calls the systems that wreg is built for. A static binary asks nothing of the C library,
# so one wheel serves glibc and musl; macOS 12 is the oldest that Go 1.26 supports.
TAGS = {
    ("linux", "amd64"): ["manylinux_2_17_x86_64", "musllinux_1_1_x86_64"],
    ("linux", "arm64"): ["manylinux_2_17_aarch64", "musllinux_1_1_aarch64"],
    ("darwin", "amd64"): ["macosx_12_0_x86_64"],
    ("darwin", "arm64"): ["macosx_12_0_arm64"],
    ("windows", "amd64"): ["win_amd64"],
    ("windows", "arm64"): ["win_arm64"],
}


def version():
    return re.search(r'^\tversion = "(.+)"$', (ROOT / "cmd/wreg/root.go").read_text(), re.M)[1]


def make(out, binary, goos, goarch):
    """Writes the wheel of a binary into the folder out and gives its path."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    tags = TAGS[goos, goarch]
    info = f"wreg-{version()}.dist-info"
    metadata = (f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {version()}\nSummary: {project['description']}\n"
                f"License-Expression: {project['license']}\nLicense-File: LICENSE\nRequires-Python: {project['requires-python']}\n"
                f"Description-Content-Type: text/markdown\n\n{(HERE / project['readme']).read_text()}")
    wheel = "Wheel-Version: 1.0\nGenerator: wreg\nRoot-Is-Purelib: false\n" + "".join(f"Tag: py3-none-{t}\n" for t in tags)
    files = {f"wreg/{p.name}": p.read_bytes() for p in sorted((HERE / "wreg").iterdir()) if p.suffix in (".py", ".typed")}
    program = "wreg/bin/wreg" + (".exe" if goos == "windows" else "")
    files[program] = pathlib.Path(binary).read_bytes()
    files[f"{info}/licenses/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nwreg = wreg.__main__:main\n"
    files[f"{info}/METADATA"] = metadata.encode()
    files[f"{info}/WHEEL"] = wheel.encode()
    record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()

    path = pathlib.Path(out) / f"wreg-{version()}-py3-none-{'.'.join(tags)}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)  # of 1980, so that bytes do not depend on when
            entry.create_system = 3
            entry.external_attr = (0o100755 if name == program else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(entry, data)
    return path


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def compile(path, goos, goarch):
    """Builds the static binary of a system, as every release has it."""
    subprocess.run(["go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./cmd/wreg"], cwd=ROOT, check=True,
                   env=dict(os.environ, CGO_ENABLED="0", GOOS=goos, GOARCH=goarch))


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    goos, goarch = subprocess.run(["go", "env", "GOOS", "GOARCH"], check=True, capture_output=True, text=True).stdout.split()
    with tempfile.TemporaryDirectory() as folder:
        binary = os.path.join(folder, "wreg")
        compile(binary, goos, goarch)
        return make(wheel_directory, binary, goos, goarch).name


if __name__ == "__main__":
    print(make(*sys.argv[1:]))
